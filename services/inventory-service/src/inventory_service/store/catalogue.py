"""Rows of the catalogue: what staff adds, changes and removes, and the lists of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from common import searching
from common.database import Transaction

from inventory_service.domain.stockroom import Shelf
from inventory_service.messages import Availability
from inventory_service.store.batches import shelf_of

Row = asyncpg.Record

TOMBSTONE_AGAIN = timedelta(days=1)
"""As long as Kafka keeps a tombstone (delete.retention.ms): whoever slept hears the next one."""


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """Which products of a list are meant; what is None does not matter."""

    text: str | None = None
    category: str | None = None
    active: bool | None = None
    availability: Availability | None = None


async def add_products(tx: Transaction, shelves: Sequence[Shelf]) -> set[str]:
    """Insert what is new and tell which; waits for other transactions with the same skus."""
    ordered = sorted(shelves, key=lambda shelf: shelf.sku)
    rows = await tx.fetch(
        """
        INSERT INTO stock (sku, name, price, currency, active, low_stock, allow_partial,
                           category, version)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[],
                             $6::bigint[], $7::boolean[], $8::text[], $9::bigint[])
            ON CONFLICT DO NOTHING
        RETURNING sku
        """,
        *_columns(ordered),
    )
    return {row["sku"] for row in rows}


async def save_products(tx: Transaction, shelves: Sequence[Shelf]) -> None:
    """Write what the catalogue says of products; their counts belong to the ledger."""
    await tx.execute(
        """
        UPDATE stock AS s
           SET name = n.name, price = n.price, currency = n.currency, active = n.active,
               low_stock = n.low_stock, allow_partial = n.allow_partial, category = n.category,
               version = n.version,
               deleted_at = CASE WHEN n.removed THEN now() END,
               tombstone_due_at = CASE WHEN n.removed THEN now() + $11::interval END,
               updated_at = now()
          FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[],
                      $6::bigint[], $7::boolean[], $8::text[], $9::bigint[], $10::boolean[])
               AS n (sku, name, price, currency, active, low_stock, allow_partial, category,
                     version, removed)
         WHERE s.sku = n.sku
        """,
        *_columns(shelves),
        [shelf.removed for shelf in shelves],
        TOMBSTONE_AGAIN,
    )


def _columns(shelves: Sequence[Shelf]) -> tuple[list[object], ...]:
    return (
        [shelf.sku for shelf in shelves],
        [shelf.name for shelf in shelves],
        [shelf.price.amount for shelf in shelves],
        [shelf.price.currency for shelf in shelves],
        [shelf.active for shelf in shelves],
        [shelf.low_stock for shelf in shelves],
        [shelf.allow_partial for shelf in shelves],
        [shelf.category for shelf in shelves],
        [shelf.version for shelf in shelves],
    )


async def find_shelf(tx: Transaction, sku: str) -> Shelf | None:
    row = await tx.fetchrow("SELECT * FROM stock WHERE sku = $1 AND deleted_at IS NULL", sku)
    return shelf_of(row) if row else None


LIST_SHELVES = """
    SELECT * FROM stock
     WHERE deleted_at IS NULL
       AND ($1::text IS NULL OR ' ' || lower(sku) || ' ' || lower(name) LIKE lower($1))
       AND ($2::text IS NULL OR category = $2)
       AND ($3::boolean IS NULL OR active = $3)
       AND ($4::text IS NULL OR availability = $4)
       AND sku > $5
     ORDER BY sku
     LIMIT $6
"""


async def list_shelves(
    tx: Transaction, wanted: ProductFilter, *, after: str, limit: int
) -> list[Shelf]:
    """Read a page of products in the order of their skus."""
    await searching.plan_afresh(tx)
    rows = await tx.fetch(LIST_SHELVES, *filters_of(wanted), after, limit)
    return [shelf_of(row) for row in rows]


def filters_of(wanted: ProductFilter) -> tuple[object, ...]:
    text = None if wanted.text is None else searching.pattern(wanted.text)
    return (text, wanted.category, wanted.active, wanted.availability)


async def take_due_tombstones(tx: Transaction, limit: int) -> list[tuple[str, int]]:
    """Take products whose removal is to be said again: sku and version, each of them once."""
    rows = await tx.fetch(
        """
        UPDATE stock SET tombstone_due_at = NULL
         WHERE sku IN (SELECT sku FROM stock WHERE tombstone_due_at <= now()
                        ORDER BY tombstone_due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING sku, version
        """,
        limit,
    )
    return [(row["sku"], row["version"]) for row in rows]
