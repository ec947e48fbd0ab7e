"""Notices as due rows: leased for an attempt, settled by its outcome."""

import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson
from common.database import Transaction

from notification_service.domain.letters import Customer, Letter, Settlement
from notification_service.domain.notices import Notice, NoticeKey, Order
from notification_service.messages import Money, OrderLine

SENDING_BELL = "sending"
"""Rung when something may have become due."""


async def lease_letters(
    tx: Transaction, limit: int, token: UUID, lease_for: timedelta
) -> list[Letter]:
    """Lease due notices of which order and customer are known, oldest first."""
    lease_ends = time.monotonic() + lease_for.total_seconds()
    rows = await tx.fetch(
        """
        WITH due AS MATERIALIZED (
            SELECT n.order_id, n.kind, n.subject
              FROM notifications n JOIN orders USING (order_id) JOIN customers USING (customer_id)
             WHERE n.status = 'PENDING' AND n.due_at <= now()
             ORDER BY n.due_at LIMIT $1 FOR UPDATE OF n SKIP LOCKED
        ), leased AS (
            UPDATE notifications n
               SET lease_token = $2, due_at = now() + $3, attempt = n.attempt + 1
              FROM due WHERE (n.order_id, n.kind, n.subject) = (due.order_id, due.kind, due.subject)
            RETURNING n.*
        )
        SELECT leased.*, now() - leased.created_at AS age, customer_id, lines::text, total,
               orders.currency AS order_currency, email, name, language
          FROM leased JOIN orders USING (order_id) JOIN customers USING (customer_id)
        """,
        limit,
        token,
        lease_for,
    )
    return [_letter(row, lease_ends) for row in rows]


def _letter(row: asyncpg.Record, lease_ends: float) -> Letter:
    paid = row["amount"] is not None
    return Letter(
        notice=Notice(
            order_id=row["order_id"],
            kind=row["kind"],
            subject=row["subject"],
            reason=row["reason"],
            money=Money(amount=row["amount"], currency=row["currency"]) if paid else None,
        ),
        order=Order(
            row["order_id"],
            row["customer_id"],
            _lines_in(row["lines"]),
            Money(amount=row["total"], currency=row["order_currency"]),
        ),
        customer=Customer(row["customer_id"], row["email"], row["name"], row["language"]),
        token=row["lease_token"],
        attempt=row["attempt"],
        age=row["age"],
        lease_ends=lease_ends,
    )


async def save_settlements(tx: Transaction, settlements: Sequence[Settlement]) -> set[NoticeKey]:
    """Write outcomes where the lease still stands; answers the notices that were written."""
    ordered = sorted(settlements, key=lambda settlement: settlement.key)
    rows = await tx.fetch(
        """
        WITH outcome AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[],
                                 $6::text[], $7::interval[])
                       AS o (order_id, kind, subject, token, status, error, delay)
        ), locked AS MATERIALIZED (
            SELECT n.order_id, n.kind, n.subject
              FROM notifications n JOIN outcome o USING (order_id, kind, subject)
             WHERE n.lease_token = o.token AND n.status = 'PENDING'
             ORDER BY n.order_id, n.kind, n.subject FOR UPDATE OF n
        )
        UPDATE notifications n
           SET status = o.status, error = o.error, due_at = now() + o.delay, lease_token = NULL,
               settled_at = CASE WHEN o.status = 'PENDING' THEN NULL ELSE now() END
          FROM outcome o JOIN locked USING (order_id, kind, subject)
         WHERE (n.order_id, n.kind, n.subject) = (o.order_id, o.kind, o.subject)
        RETURNING n.order_id, n.kind, n.subject
        """,
        [settlement.key[0] for settlement in ordered],
        [settlement.key[1] for settlement in ordered],
        [settlement.key[2] for settlement in ordered],
        [settlement.token for settlement in ordered],
        [settlement.status for settlement in ordered],
        [settlement.reason for settlement in ordered],
        [settlement.delay for settlement in ordered],
    )
    return {(row["order_id"], row["kind"], row["subject"]) for row in rows}


def _lines_in(stored: str) -> tuple[OrderLine, ...]:
    return tuple(OrderLine.model_validate(line) for line in orjson.loads(stored))
