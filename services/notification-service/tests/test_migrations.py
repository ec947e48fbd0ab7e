from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from common.process import schema_head
from common.schema import alembic_config, engine_for, newest, upgrade
from notification_service.app import PROGRAM
from notification_service.store.tables import METADATA

from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres


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
    return set(sa.inspect(connection).get_table_names("notifications"))


async def test_an_empty_schema_is_brought_up_without_drift(empty_databases: Databases) -> None:
    dsn = empty_databases.owner_dsn("notifications")

    await upgrade(dsn, PROGRAM.home)

    # Raises when store and database differ.
    await run(dsn, alembic(command.check))
    assert {table.name for table in METADATA.tables.values()} <= await run(dsn, tables)
    assert schema_head(PROGRAM.home) == newest(PROGRAM.home) == "0010"


async def test_every_check_that_the_store_names_is_in_the_database(databases: Databases) -> None:
    def compare(connection: sa.Connection) -> None:
        inspector = sa.inspect(connection)
        for table in METADATA.tables.values():
            named = {
                str(constraint.name)
                for constraint in table.constraints
                if isinstance(constraint, sa.CheckConstraint)
            }
            found = inspector.get_check_constraints(table.name, "notifications")
            assert {each["name"] for each in found} == named, table.name

    await run(databases.owner_dsn("notifications"), compare)


async def test_every_step_can_be_taken_back(empty_databases: Databases) -> None:
    dsn = empty_databases.owner_dsn("notifications")
    await upgrade(dsn, PROGRAM.home)

    await run(dsn, alembic(command.downgrade, "base"))

    assert await run(dsn, tables) == {"alembic_version"}
    await upgrade(dsn, PROGRAM.home)
