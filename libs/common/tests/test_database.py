"""A database that is away is Unavailable, however it is away; a cancellation stays one."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import asyncpg
import pytest
from common.database import Database
from common.errors import Unavailable
from common.settings import PostgresSettings
from pydantic import SecretStr

from tests.support.plans import plan_of
from tests.support.waiting import eventually

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.mark.parametrize(
    "host", ["nowhere.invalid:5432", "127.0.0.1:1"], ids=["no such name", "nobody listens"]
)
async def test_a_database_that_cannot_be_reached_is_away(host: str) -> None:
    settings = PostgresSettings(
        database_url=SecretStr(f"postgresql://somebody:secret@{host}/pedido"), db_schema="orders"
    )
    database = Database(settings, name="till")

    with pytest.raises(Unavailable):
        async with database.transaction():
            pass
    with pytest.raises(Unavailable):
        await database.connect_direct()
    await database.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    "failing",
    [
        "DO 'BEGIN RAISE disk_full; END'",
        "DO 'BEGIN RAISE out_of_memory; END'",
        "DO 'BEGIN RAISE io_error; END'",
        "SET TRANSACTION READ ONLY; DELETE FROM positions",
    ],
    ids=["disk full", "no memory", "disk broken", "read-only"],
)
async def test_a_database_that_can_write_nothing_is_away(database: Database, failing: str) -> None:
    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            await tx.execute(failing)


@pytest.mark.postgres
async def test_a_server_that_became_read_only_is_not_asked_again(database: Database) -> None:
    """The address leads to another by then, but a connection that stands stays where it is."""
    async with database.transaction() as tx:
        former = await tx.fetchval("SELECT pg_backend_pid()")

    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            await tx.execute("SET TRANSACTION READ ONLY; DELETE FROM positions")

    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT pg_backend_pid()") != former


@pytest.mark.postgres
async def test_a_cancellation_is_not_hidden_by_a_connection_that_is_lost(
    database: Database, admin: Admin
) -> None:
    lost = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as tx:
            await admin.execute("SELECT pg_terminate_backend($1)", await pid(tx.raw))
            await eventually(lambda: is_lost(tx.raw))
            lost.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await eventually(lambda: lost.is_set() or task.done())
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def pid(connection: Admin) -> int:
    return int(await connection.fetchval("SELECT pg_backend_pid()"))


def is_lost(connection: Admin) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool took it back already
        return True


@pytest.mark.postgres
async def test_statements_by_key_are_planned_once_and_the_next_transaction_is_as_before(
    database: Database,
) -> None:
    async with database.transaction(by_key=True) as tx:
        for place in range(10):
            await tx.fetch("SELECT FROM pg_type WHERE oid = ANY($1::oid[])", [place])
        (plans,) = await tx.fetch(
            """
            SELECT generic_plans, custom_plans FROM pg_prepared_statements
             WHERE statement LIKE 'SELECT FROM pg_type%'
            """
        )
        nodes = await plan_of(tx, "SELECT FROM positions WHERE topic = 'a' AND partition = 1")
    async with database.transaction() as tx:
        settings = await tx.fetchrow(
            "SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan')"
        )

    assert (plans["generic_plans"], plans["custom_plans"]) == (10, 0)
    assert "Seq Scan" not in nodes
    assert settings is not None
    assert tuple(settings) == ("auto", "on")
