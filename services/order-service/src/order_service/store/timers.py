"""Orders whose timer is due, by the database's clock; what another instance holds is left to it."""

from __future__ import annotations

from collections import Counter

from common.database import Transaction

from order_service.domain import Order
from order_service.store.orders import order_of


async def lock_past_deadline(tx: Transaction, limit: int) -> list[Order]:
    """Lock orders that were not confirmed, or not decided on, in time."""
    rows = await tx.fetch(
        """
        SELECT * FROM orders
         WHERE status IN ('PENDING', 'ACTION_REQUIRED') AND deadline_at <= now()
         ORDER BY deadline_at LIMIT $1 FOR UPDATE SKIP LOCKED
        """,
        limit,
    )
    return [order_of(row) for row in rows]


async def lock_unanswered(tx: Transaction, limit: int) -> list[Order]:
    """Lock orders whose closing waits too long for an answer."""
    rows = await tx.fetch(
        """
        SELECT * FROM orders
         WHERE closing_due_at <= now()
         ORDER BY closing_due_at LIMIT $1 FOR UPDATE SKIP LOCKED
        """,
        limit,
    )
    return [order_of(row) for row in rows]


async def lock_incomplete(tx: Transaction, limit: int) -> list[Order]:
    """Lock confirmed orders that should have completed long ago."""
    rows = await tx.fetch(
        """
        SELECT * FROM orders
         WHERE stuck_at <= now()
         ORDER BY stuck_at LIMIT $1 FOR UPDATE SKIP LOCKED
        """,
        limit,
    )
    return [order_of(row) for row in rows]


async def count_open(tx: Transaction) -> Counter[tuple[str, str]]:
    """Count the orders that are not settled, by status and health."""
    rows = await tx.fetch(
        """
        SELECT status, saga, count(*) AS orders FROM orders
         WHERE settled_at IS NULL GROUP BY status, saga
        """
    )
    return Counter({(row["status"], row["saga"]): row["orders"] for row in rows})
