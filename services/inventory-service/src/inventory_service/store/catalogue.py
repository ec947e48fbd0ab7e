"""Rows of the catalogue: what staff adds and changes, and what the API shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import asyncpg
from common.database import Transaction

from inventory_service.domain.stockroom import Shelf
from inventory_service.store.batches import shelf_of

Row = asyncpg.Record


async def add_products(tx: Transaction, shelves: Sequence[Shelf]) -> set[str]:
    """Insert what is new and tell which; waits for other transactions with the same skus."""
    ordered = sorted(shelves, key=lambda shelf: shelf.sku)
    rows = await tx.fetch(
        """
        INSERT INTO stock (sku, name, price, currency, active, low_stock, version,
                           allow_partial)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[],
                             $6::bigint[], $7::bigint[], $8::boolean[])
            ON CONFLICT DO NOTHING
        RETURNING sku
        """,
        [shelf.sku for shelf in ordered],
        [shelf.name for shelf in ordered],
        [shelf.price.amount for shelf in ordered],
        [shelf.price.currency for shelf in ordered],
        [shelf.active for shelf in ordered],
        [shelf.low_stock for shelf in ordered],
        [shelf.version for shelf in ordered],
        [shelf.allow_partial for shelf in ordered],
    )
    return {row["sku"] for row in rows}


async def save_product(tx: Transaction, shelf: Shelf) -> None:
    """Write what the catalogue says of a product; its counts belong to the ledger."""
    await tx.execute(
        """
        UPDATE stock
           SET name = $2, price = $3, currency = $4, active = $5, low_stock = $6, version = $7,
               allow_partial = $8, updated_at = now()
         WHERE sku = $1
        """,
        shelf.sku,
        shelf.name,
        shelf.price.amount,
        shelf.price.currency,
        shelf.active,
        shelf.low_stock,
        shelf.version,
        shelf.allow_partial,
    )


async def find_shelf(tx: Transaction, sku: str) -> Shelf | None:
    row = await tx.fetchrow("SELECT * FROM stock WHERE sku = $1", sku)
    return shelf_of(row) if row else None


async def list_shelves(tx: Transaction, *, after: str, limit: int) -> list[Shelf]:
    """Read a page of products in the order of their skus."""
    rows = await tx.fetch("SELECT * FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2", after, limit)
    return [shelf_of(row) for row in rows]


async def list_movements(tx: Transaction, sku: str, *, before: int, limit: int) -> list[Row]:
    """Read a page of a product's ledger, newest first."""
    return await tx.fetch(
        """
        SELECT id, sku, order_id, kind, quantity, reason, at
          FROM movements WHERE sku = $1 AND id < $2 ORDER BY id DESC LIMIT $3
        """,
        sku,
        before,
        limit,
    )


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
