"""Payments as the API shows them, read without a lock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from common.database import Transaction


@dataclass(frozen=True, slots=True)
class Shown:
    """A payment's row with the rows of its refunds."""

    payment: asyncpg.Record
    refunds: Sequence[asyncpg.Record]


async def list_payments(tx: Transaction, order_id: UUID) -> list[Shown]:
    """List the payment of an order: one, or none yet."""
    rows = await tx.fetch("SELECT * FROM payments WHERE order_id = $1", order_id)
    return await _with_refunds(tx, rows)


async def find_payment(tx: Transaction, payment_id: UUID) -> Shown | None:
    """Find a payment by its own id."""
    rows = await tx.fetch("SELECT * FROM payments WHERE payment_id = $1", payment_id)
    return next(iter(await _with_refunds(tx, rows)), None)


async def _with_refunds(tx: Transaction, payments: Sequence[asyncpg.Record]) -> list[Shown]:
    rows = await tx.fetch(
        "SELECT * FROM refunds WHERE order_id = ANY($1::uuid[]) ORDER BY created_at, refund_id",
        [payment["order_id"] for payment in payments],
    )
    refunds: defaultdict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        refunds[row["order_id"]].append(row)
    return [Shown(payment, refunds[payment["order_id"]]) for payment in payments]
