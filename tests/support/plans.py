"""How Postgres would run a statement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from common.database import Transaction


@asynccontextmanager
async def filling(admin_dsn: str, schema: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Have all the time that it takes: a statement of a service's own role may last 10 s."""
    connection = await asyncpg.connect(admin_dsn, server_settings={"search_path": schema})
    try:
        yield connection
    finally:
        await connection.close()


async def analyse(admin_dsn: str, *tables: str) -> None:
    """Let the planner know what is in these tables, as autovacuum does in the end."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        for table in tables:
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()


async def plan_of(tx: Transaction, statement: str, *arguments: Any) -> set[str]:
    """Name the kinds of nodes in a statement's plan, and the indexes that they use."""
    answer = await tx.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return set(names(json.loads(answer)[0]["Plan"]))


def names(node: dict[str, Any]) -> Iterator[str]:
    """Name the kinds of nodes in a plan, and the indexes that they use."""
    yield node["Node Type"]
    if "Index Name" in node:
        yield node["Index Name"]
    for part in node.get("Plans", ()):
        yield from names(part)
