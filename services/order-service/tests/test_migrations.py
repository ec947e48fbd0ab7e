from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from common.process import schema_head
from common.schema import alembic_config, engine_for, newest, upgrade
from order_service.app import PROGRAM
from order_service.store.tables import metadata

from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres

OURS = (
    "orders",
    "order_lines",
    "order_events",
    "refunds",
    "shipping_addresses",
    "products",
    "customers",
    "refresh_tokens",
    "idempotency_keys",
)
"""The messaging tables are common's, and made by its own DDL."""

DEFINITIONS = """
    SELECT conrelid::regclass::text AS item, conname AS name, pg_get_constraintdef(oid) AS text
      FROM pg_constraint WHERE conrelid::regclass::text = ANY($1::text[])
     UNION ALL
    SELECT indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid)
      FROM pg_index WHERE indrelid::regclass::text = ANY($1::text[])
     ORDER BY 1, 2, 3
"""


async def run(dsn: str, work: Callable[[sa.Connection], Any]) -> Any:
    engine = engine_for(dsn)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def alembic(action: Callable[..., Any], *arguments: str) -> Callable[[sa.Connection], Any]:
    def work(connection: sa.Connection) -> Any:
        config = alembic_config(PROGRAM.home)
        config.attributes["connection"] = connection
        return action(config, *arguments)

    return work


def tables(connection: sa.Connection) -> set[str]:
    return set(sa.inspect(connection).get_table_names("orders"))


def definitions(connection: sa.Connection) -> Iterable[tuple[Any, ...]]:
    """Read every constraint and index of our tables, as Postgres writes them out."""
    names = [f"orders.{name}" for name in OURS]
    return [tuple(row) for row in connection.exec_driver_sql(DEFINITIONS, (names,))]


async def test_an_empty_schema_is_brought_up_without_drift(empty_databases: Databases) -> None:
    dsn = empty_databases.owner_dsn("orders")

    await upgrade(dsn, PROGRAM.home)

    # Raises when store and database differ.
    await run(dsn, alembic(command.check))
    assert {table.name for table in metadata.tables.values()} <= await run(dsn, tables)
    assert schema_head(PROGRAM.home) == newest(PROGRAM.home) == "0009"


async def test_constraints_and_indexes_are_those_of_the_store(
    databases: Databases, empty_databases: Databases
) -> None:
    def create(connection: sa.Connection) -> None:
        metadata.create_all(connection, [metadata.tables[f"orders.{name}"] for name in OURS])

    await run(empty_databases.owner_dsn("orders"), create)

    from_store = await run(empty_databases.owner_dsn("orders"), definitions)
    from_migrations = await run(databases.owner_dsn("orders"), definitions)
    assert from_migrations == from_store
    assert len(from_store) > len(OURS)


async def test_every_step_can_be_taken_back(empty_databases: Databases) -> None:
    dsn = empty_databases.owner_dsn("orders")
    await upgrade(dsn, PROGRAM.home)

    await run(dsn, alembic(command.downgrade, "base"))

    assert await run(dsn, tables) == {"alembic_version"}
    await upgrade(dsn, PROGRAM.home)
