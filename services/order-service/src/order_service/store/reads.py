"""What the API shows: orders, their history and the catalogue, each query with its owner in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from common import searching
from common.database import Transaction

Row = asyncpg.Record


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders of a list are meant; no owner means everybody's, for staff."""

    owner: UUID | None
    status: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def find_order(tx: Transaction, order_id: UUID, owner: UUID | None) -> Row | None:
    """Read an order as its owner sees it, or as staff does (no owner)."""
    return await tx.fetchrow(
        """
        SELECT order_id, status, saga, reason, total, currency, amount_refunded, version,
               created_at, updated_at, settled_at, offer, deadline_at
          FROM orders
         WHERE order_id = $1 AND ($2::uuid IS NULL OR customer_id = $2)
        """,
        order_id,
        owner,
    )


async def list_lines(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, list[Row]]:
    """Read the lines of some orders, in their own order."""
    lines: dict[UUID, list[Row]] = {order_id: [] for order_id in order_ids}
    for row in await tx.fetch(
        """
        SELECT order_id, line_no, sku, name, quantity, unit_price
          FROM order_lines
         WHERE order_id = ANY($1)
         ORDER BY order_id, line_no
        """,
        order_ids,
    ):
        lines[row["order_id"]].append(row)
    return lines


async def list_events(tx: Transaction, order_id: UUID) -> list[Row]:
    """Read everything that happened to an order, oldest first."""
    return await tx.fetch(
        """
        SELECT type, occurred_at, service, event_id, causation_id,
               -- An operator's id, which a repair carries, is none of the customer's business.
               CASE WHEN type NOT LIKE 'Saga%' THEN data->>'by' END AS by
          FROM order_events
         WHERE order_id = $1
         ORDER BY version
        """,
        order_id,
    )


async def list_orders(
    tx: Transaction, wanted: OrderFilter, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[Row]:
    """Read a page of orders, newest first, from just past the last one shown."""
    created_at, order_id = after or (None, None)
    return await tx.fetch(
        """
        SELECT order_id, status, saga, reason, total, currency, amount_refunded, version,
               created_at, updated_at, offer, deadline_at
          FROM orders
         WHERE ($1::uuid IS NULL OR customer_id = $1)
           AND ($2::text IS NULL OR status = $2)
           AND ($3::timestamptz IS NULL OR created_at >= $3)
           AND ($4::timestamptz IS NULL OR created_at < $4)
           AND ($5::timestamptz IS NULL OR (created_at, order_id) < ($5, $6::uuid))
         ORDER BY created_at DESC, order_id DESC
         LIMIT $7
        """,
        wanted.owner,
        wanted.status,
        wanted.created_from,
        wanted.created_to,
        created_at,
        order_id,
        limit,
    )


LIST_PRODUCTS = """
    SELECT sku, name, price, currency, active, available
      FROM products
     WHERE removed_at IS NULL
       AND ($1::text IS NULL OR ' ' || lower(sku) || ' ' || lower(name) LIKE lower($1))
       AND ($2::text IS NULL OR sku > $2)
     ORDER BY sku
     LIMIT $3
"""


async def list_products(
    tx: Transaction, text: str | None, *, after: str | None, limit: int
) -> list[Row]:
    """Read a page of the catalogue by SKU; a text is looked for in SKU and name."""
    await searching.plan_afresh(tx)
    wanted = None if text is None else searching.pattern(text)
    return await tx.fetch(LIST_PRODUCTS, wanted, after, limit)


async def find_product(tx: Transaction, sku: str) -> Row | None:
    """Read a product as our copy of the catalogue has it."""
    return await tx.fetchrow(
        """
        SELECT sku, name, price, currency, active, available
          FROM products
         WHERE sku = $1 AND removed_at IS NULL
        """,
        sku,
    )
