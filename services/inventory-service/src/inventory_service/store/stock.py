"""Stock as numbers: what can be ordered, and what there is in all."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from common.database import Transaction

Row = asyncpg.Record


async def list_available(tx: Transaction, skus: Sequence[str]) -> dict[str, int]:
    """Count what is free of those products that are for sale."""
    rows = await tx.fetch(
        "SELECT sku, available FROM stock WHERE sku = ANY($1::text[]) AND active", skus
    )
    return {row["sku"]: row["available"] for row in rows}


async def count_stock(tx: Transaction) -> Row:
    """Count products and pieces; what was removed counts no more."""
    (row,) = await tx.fetch(
        """
        SELECT count(*) AS total, count(*) FILTER (WHERE active) AS active,
               count(*) FILTER (WHERE availability = 'LOW') AS low,
               count(*) FILTER (WHERE availability = 'NONE') AS out,
               coalesce(sum(available), 0)::bigint AS available,
               coalesce(sum(reserved), 0)::bigint AS reserved,
               coalesce(sum(sold), 0)::bigint AS sold
          FROM stock WHERE deleted_at IS NULL
        """
    )
    return row


async def list_values(tx: Transaction) -> list[Row]:
    """Price what is in the house, free or held, by currency."""
    return await tx.fetch(
        """
        SELECT currency, sum(price::numeric * (available + reserved)) AS amount
          FROM stock WHERE deleted_at IS NULL
         GROUP BY currency ORDER BY currency
        """
    )


async def count_reservations(tx: Transaction) -> dict[str, int]:
    """Count reservations by state, from the index alone."""
    rows = await tx.fetch("SELECT state, count(*) AS found FROM reservations GROUP BY state")
    return {row["state"]: row["found"] for row in rows}
