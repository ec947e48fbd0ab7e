"""What moved stock, and what is held of it, as lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from common import searching
from common.database import Transaction

from inventory_service.domain.stockroom import MovementKind, ReservationState

Row = asyncpg.Record


@dataclass(frozen=True, slots=True)
class MovementFilter:
    """Which movements are meant; what is None does not matter."""

    sku: str | None = None
    order_id: UUID | None = None
    kind: MovementKind | None = None
    since: datetime | None = None
    until: datetime | None = None


LIST_MOVEMENTS = """
    SELECT id, sku, order_id, kind, quantity, reason, reference, made_by, at
      FROM movements
     WHERE ($1::text IS NULL OR sku = $1)
       AND ($2::uuid IS NULL OR order_id = $2)
       AND ($3::text IS NULL OR kind = $3)
       AND ($4::timestamptz IS NULL OR at >= $4)
       AND ($5::timestamptz IS NULL OR at < $5)
       AND id < $6
     ORDER BY id DESC
     LIMIT $7
"""

LIST_RESERVATIONS = """
    SELECT order_id, state, deadline_at, created_at, updated_at
      FROM reservations
     WHERE ($1::uuid IS NULL OR order_id = $1)
       AND ($2::text IS NULL OR state = $2)
       AND ($3::uuid IS NULL OR order_id < $3)
     ORDER BY order_id DESC
     LIMIT $4
"""


async def find_referenced(tx: Transaction, sku: str, reference: str) -> int | None:
    """Tell by how much this paper moved the product, if it did."""
    quantity: int | None = await tx.fetchval(
        "SELECT quantity FROM movements WHERE sku = $1 AND reference = $2", sku, reference
    )
    return quantity


async def list_movements(
    tx: Transaction, wanted: MovementFilter, *, before: int, limit: int
) -> list[Row]:
    """Read a page of the ledger, newest first."""
    await searching.plan_afresh(tx)
    return await tx.fetch(
        LIST_MOVEMENTS,
        wanted.sku,
        wanted.order_id,
        wanted.kind,
        wanted.since,
        wanted.until,
        before,
        limit,
    )


async def list_reservations(
    tx: Transaction,
    order_id: UUID | None,
    state: ReservationState | None,
    *,
    before: UUID | None,
    limit: int,
) -> list[Row]:
    """Read a page of reservations; the time is in an order's id, so the newest come first."""
    await searching.plan_afresh(tx)
    return await tx.fetch(LIST_RESERVATIONS, order_id, state, before, limit)


async def count_overdue(tx: Transaction, grace: timedelta) -> int:
    """Count reservations that still hold stock so long after their order's deadline."""
    return int(
        await tx.fetchval(
            """
            SELECT count(*) FROM reservations
             WHERE state = 'HELD' AND deadline_at < now() - $1::interval
            """,
            grace,
        )
    )
