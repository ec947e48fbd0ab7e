"""Rows of categories; a product is in one of them, or in none."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg
from common.database import Transaction

Row = asyncpg.Record


async def add_category(tx: Transaction, category: str, name: str) -> Row | None:
    """Insert a category; nothing means that there is one."""
    return await tx.fetchrow(
        """
        INSERT INTO categories (category, name) VALUES ($1, $2) ON CONFLICT DO NOTHING
        RETURNING category, name
        """,
        category,
        name,
    )


async def rename_category(tx: Transaction, category: str, name: str) -> Row | None:
    return await tx.fetchrow(
        "UPDATE categories SET name = $2 WHERE category = $1 RETURNING category, name",
        category,
        name,
    )


async def remove_category(tx: Transaction, category: str) -> bool:
    """Delete a category and tell if there was one; raises if a product is in it."""
    found = await tx.fetchval(
        "DELETE FROM categories WHERE category = $1 RETURNING category", category
    )
    return found is not None


async def find_category(tx: Transaction, category: str) -> Row | None:
    return await tx.fetchrow("SELECT category, name FROM categories WHERE category = $1", category)


async def list_categories(tx: Transaction, *, after: str, limit: int) -> list[Row]:
    return await tx.fetch(
        "SELECT category, name FROM categories WHERE category > $1 ORDER BY category LIMIT $2",
        after,
        limit,
    )


async def hold_categories(tx: Transaction, categories: Iterable[str]) -> set[str]:
    """Tell which of them there are, and keep those from being removed until we are done.

    Before any product is locked: whoever removes a category looks at its products, too.
    """
    rows = await tx.fetch(
        """
        SELECT category FROM categories WHERE category = ANY($1::text[])
         ORDER BY category FOR KEY SHARE
        """,
        list(categories),
    )
    return {row["category"] for row in rows}
