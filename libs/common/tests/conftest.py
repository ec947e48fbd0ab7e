"""A database with the messaging tables and a till, a small shop, and ways to reach them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import httpx2
import pytest_asyncio
from alembic.migration import MigrationContext
from alembic.operations import Operations
from common import ops_tables
from common.database import Database
from common.migration import create_messaging_tables, index_what_is_set_aside
from common.schema import engine_for
from common.settings import PostgresSettings
from pydantic import SecretStr
from sqlalchemy import Connection

if TYPE_CHECKING:
    from tests.support.postgres import Databases

sys.path.insert(0, str(Path(__file__).parent))  # for till.py and others, which are no tests

import ops_desk
import shop_app
import till


@pytest_asyncio.fixture
async def admin(empty_databases: Databases) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Log in as superuser to a database with inventory's messaging tables and the till."""
    engine = engine_for(empty_databases.owner_dsn("inventory"))
    async with engine.begin() as owner:
        await owner.run_sync(_create_tables)
    await engine.dispose()
    connection = await asyncpg.connect(empty_databases.admin_dsn)
    await connection.execute(till.TABLES)
    await connection.execute("SET search_path = inventory")
    yield connection
    await connection.close()


def _create_tables(connection: Connection) -> None:
    with Operations.context(MigrationContext.configure(connection)):
        create_messaging_tables("inventory")
        ops_tables.create("inventory")
        index_what_is_set_aside("inventory")


@pytest_asyncio.fixture
async def database(
    empty_databases: Databases, admin: asyncpg.Connection[asyncpg.Record]
) -> AsyncIterator[Database]:
    """Reach the same database as inventory's app role."""
    del admin
    settings = PostgresSettings(
        database_url=SecretStr(empty_databases.app_dsn("inventory")), db_schema="inventory"
    )
    database = Database(settings, name="till")
    yield database
    await database.close()


@pytest_asyncio.fixture
async def desk(database: Database) -> AsyncIterator[ops_desk.Desk]:
    """Have an operator at the till's API."""
    async with ops_desk.open_desk(database) as opened:
        yield opened


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """Talk to the small shop."""
    async with shop_app.client(shop_app.application()) as http:
        yield http
