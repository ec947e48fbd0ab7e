"""What is written of a stretch of products, read at one moment."""

from __future__ import annotations

import json

from common import searching
from common.database import Transaction

from inventory_service.domain.reconciliation import Books
from inventory_service.domain.stockroom import Counts, MovementKind


async def count_products(tx: Transaction) -> int:
    return int(await tx.fetchval("SELECT count(*) FROM stock"))


async def list_skus(tx: Transaction, *, after: str, limit: int) -> list[str]:
    """List the next products, removed ones too."""
    rows = await tx.fetch(
        "SELECT sku FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2", after, limit
    )
    return [row["sku"] for row in rows]


READ_BOOKS = """
    WITH counted AS (
        SELECT sku, available, reserved, sold FROM stock
         WHERE sku > $1 AND ($2::text IS NULL OR sku <= $2)
    ), moved AS (
        SELECT sku, jsonb_object_agg(kind, quantity)::text AS kinds FROM (
            SELECT sku, kind, sum(quantity) AS quantity FROM movements
             WHERE sku > $1 AND ($2::text IS NULL OR sku <= $2)
             GROUP BY sku, kind) AS by_kind
         GROUP BY sku
    ), held AS (
        SELECT sku, sum(quantity - restocked)::bigint AS pieces
          FROM reservations JOIN reservation_lines USING (order_id)
         WHERE state = 'HELD' AND sku > $1 AND ($2::text IS NULL OR sku <= $2)
         GROUP BY sku
    )
    SELECT sku, available, reserved, sold, kinds, pieces
      FROM counted FULL JOIN moved USING (sku) FULL JOIN held USING (sku)
     ORDER BY sku
"""


async def read_books(tx: Transaction, *, after: str, until: str | None) -> list[Books]:
    """Read all that is written of the products after one and up to another, or to the end.

    In one statement: counts, movements and reservations are those of one moment.
    """
    await searching.plan_afresh(tx)
    return [
        Books(
            sku=row["sku"],
            counted=(
                None
                if row["available"] is None
                else Counts(row["available"], row["reserved"], row["sold"])
            ),
            moved={
                MovementKind(kind): quantity
                for kind, quantity in json.loads(row["kinds"] or "{}").items()
            },
            held=row["pieces"] or 0,
        )
        for row in await tx.fetch(READ_BOOKS, after, until)
    ]
