"""Inventory's part of the test's database, and its application in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from common.database import Database
from common.settings import PostgresSettings
from pydantic import SecretStr

from tests.support.desk import Desk, open_desk
from tests.support.postgres import Databases


@pytest_asyncio.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    """Reach the tables as the app role does."""
    settings = PostgresSettings(
        database_url=SecretStr(databases.app_dsn("inventory")), db_schema="inventory"
    )
    database = Database(settings, name="inventory-service")
    yield database
    await database.close()


@pytest_asyncio.fixture
async def desk(databases: Databases) -> AsyncIterator[Desk]:
    """Serve the API on the test's own database."""
    async with open_desk(databases.app_dsn("inventory")) as desk:
        yield desk


@pytest_asyncio.fixture
async def closed_desk() -> AsyncIterator[Desk]:
    """Serve the API without any database, for what is refused before one is asked."""
    async with open_desk("postgresql://nobody:nothing@127.0.0.1:9/none") as desk:
        yield desk
