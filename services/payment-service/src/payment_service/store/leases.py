"""Due payments, leased for one attempt each."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from common.database import Database, Transaction
from common.due import EVER

from payment_service.domain.answers import Errand
from payment_service.domain.payment import Kind, Operation

BOTTOM = """
    SELECT least(min(next_at), now() - interval '10 seconds') FROM payments
     WHERE next_at IS NOT NULL
"""
"""When the first payment is due, of those, too, that commit just now."""

DUE = "SELECT EXISTS (SELECT FROM payments WHERE next_at >= $1 AND next_at <= now()) AS due"


async def are_errands_due(database: Database, since: datetime = EVER) -> bool:
    """Tell whether there may be something to lease."""
    (row,) = await database.fetch(DUE, since)
    return bool(row["due"])


async def lease_errands(
    db: Database | Transaction,
    limit: int,
    token: UUID,
    lease_for: timedelta,
    since: datetime = EVER,
    *,
    key_life: timedelta,
    hold_life: timedelta,
) -> list[Errand]:
    """Lease the payments that are due since then, longest first, and note that a call may be made.

    A key older than `key_life` tells nothing any more: the provider may have forgotten it. No call
    comes later than that, so a look for late money goes no further. A hold older than `hold_life`
    is not captured any more: the provider may be giving it up.
    """
    lease_ends = time.monotonic() + lease_for.total_seconds()
    rows = await db.fetch(
        """
        WITH due AS MATERIALIZED (
            SELECT order_id, called_at, last_call_at FROM payments
             WHERE next_at >= $6 AND next_at <= now()
             ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        UPDATE payments AS p
           SET lease_token = $2, next_at = now() + $3, calls = p.calls + 1,
               called_at = coalesce(p.called_at, now()),
               last_call_at = CASE WHEN p.in_doubt OR p.operation = 'LOOK'
                                   THEN p.last_call_at ELSE now() END
          FROM due WHERE p.order_id = due.order_id
        RETURNING p.order_id, p.payment_id, p.operation, p.refund_id, p.attempt, p.calls,
                  p.in_doubt OR p.operation = 'LOOK'
                      OR coalesce(due.called_at < now() - $4::interval, false) AS must_look,
                  coalesce((SELECT amount FROM refunds r WHERE r.refund_id = p.refund_id), p.amount)
                      AS amount,
                  p.currency, p.payment_method, p.intent_id, p.called_at,
                  coalesce(due.last_call_at, p.called_at)
                      + CASE WHEN p.operation = 'LOOK' THEN $4 ELSE interval '0' END AS called_to,
                  p.operation = 'CAPTURE'
                      AND coalesce(p.authorized_at < now() - $5::interval, false) AS is_late
        """,
        limit,
        token,
        lease_for,
        key_life,
        hold_life,
        since,
    )
    return [_errand(row, token, lease_ends) for row in rows]


def _errand(row: asyncpg.Record, token: UUID, lease_ends: float) -> Errand:
    return Errand(
        order_id=row["order_id"],
        payment_id=row["payment_id"],
        operation=Operation(Kind(row["operation"]), row["refund_id"]),
        number=row["attempt"],
        calls=row["calls"],
        token=token,
        lease_ends=lease_ends,
        must_look=row["must_look"],
        amount=row["amount"],
        currency=row["currency"],
        payment_method=row["payment_method"],
        intent_id=row["intent_id"],
        called_from=row["called_at"],
        called_to=row["called_to"],
        is_late=row["is_late"],
    )
