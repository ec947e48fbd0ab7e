"""Payments as the API shows them, read without a lock, each query with its owner in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from common import searching
from common.database import Transaction


@dataclass(frozen=True, slots=True)
class Shown:
    """A payment's row with the rows of its refunds."""

    payment: asyncpg.Record
    refunds: Sequence[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Which payments of a list are meant; no owner means everybody's, for staff."""

    owner: UUID | None
    order_id: UUID | None = None
    have: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


LIST_PAYMENTS = """
    SELECT * FROM payments
     WHERE ($1::uuid IS NULL OR customer_id = $1)
       AND ($2::uuid IS NULL OR order_id = $2)
       AND ($3::text IS NULL OR have = $3)
       AND ($4::timestamptz IS NULL OR created_at >= $4)
       AND ($5::timestamptz IS NULL OR created_at < $5)
       AND ($6::timestamptz IS NULL OR (created_at, order_id) < ($6, $7::uuid))
     ORDER BY created_at DESC, order_id DESC
     LIMIT $8
"""


async def list_payments(
    tx: Transaction,
    wanted: PaymentFilter,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[Shown]:
    """Read a page of payments, newest first, from just past the last one shown."""
    await searching.plan_afresh(tx)
    created_at, order_id = after or (None, None)
    rows = await tx.fetch(
        LIST_PAYMENTS,
        wanted.owner,
        wanted.order_id,
        wanted.have,
        wanted.created_from,
        wanted.created_to,
        created_at,
        order_id,
        limit,
    )
    return await _with_refunds(tx, rows)


async def find_payment(tx: Transaction, payment_id: UUID, owner: UUID | None) -> Shown | None:
    """Find a payment as its owner sees it, or as staff does (no owner)."""
    rows = await tx.fetch(
        "SELECT * FROM payments WHERE payment_id = $1 AND ($2::uuid IS NULL OR customer_id = $2)",
        payment_id,
        owner,
    )
    return next(iter(await _with_refunds(tx, rows)), None)


async def find_refund(
    tx: Transaction, refund_id: UUID, owner: UUID | None
) -> asyncpg.Record | None:
    """Find a refund as the owner of its payment sees it, or as staff does (no owner)."""
    return await tx.fetchrow(
        """
        SELECT r.*, p.currency FROM refunds r JOIN payments p USING (order_id)
         WHERE r.refund_id = $1 AND ($2::uuid IS NULL OR p.customer_id = $2)
        """,
        refund_id,
        owner,
    )


async def _with_refunds(tx: Transaction, payments: Sequence[asyncpg.Record]) -> list[Shown]:
    rows = await tx.fetch(
        """
        SELECT r.*, p.currency FROM refunds r JOIN payments p USING (order_id)
         WHERE r.order_id = ANY($1::uuid[])
         ORDER BY r.created_at, r.refund_id
        """,
        [payment["order_id"] for payment in payments],
    )
    refunds: defaultdict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        refunds[row["order_id"]].append(row)
    return [Shown(payment, refunds[payment["order_id"]]) for payment in payments]


async def charged_between(tx: Transaction, payment_id: UUID) -> tuple[datetime, datetime]:
    """Tell since when there is a payment, and when the last call was made that may have authorised.

    Without a known authorisation that was no later than the payment's last change.
    """
    (row,) = await tx.fetch(
        """
        SELECT created_at, coalesce(authorized_at, updated_at) AS charged_at
          FROM payments WHERE payment_id = $1
        """,
        payment_id,
    )
    return row["created_at"], row["charged_at"]


async def count_old_holds(tx: Transaction, age: timedelta) -> int:
    """Count the holds of that age that are still to be captured."""
    return int(
        await tx.fetchval(
            """
            SELECT count(*) FROM payments
             WHERE next_at IS NOT NULL AND operation = 'CAPTURE'
               AND authorized_at < now() - $1::interval
            """,
            age,
        )
    )


async def count_overdue(tx: Transaction, age: timedelta) -> dict[str, int]:
    """Count the payments whose operation at the provider does not end, by operation."""
    rows = await tx.fetch(
        """
        SELECT kind, count(order_id) AS n
          FROM unnest(ARRAY['AUTHORIZE', 'CAPTURE', 'VOID', 'REFUND']) AS kind
          LEFT JOIN payments p
            ON p.operation = kind AND p.next_at IS NOT NULL
           AND p.called_at < now() - $1::interval
         GROUP BY kind
        """,
        age,
    )
    return {row["kind"]: row["n"] for row in rows}
