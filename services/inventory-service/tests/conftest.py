"""The database of one test, as inventory's app role reaches it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from common.database import Database
from common.settings import PostgresSettings
from pydantic import SecretStr

from tests.support.postgres import Databases


@pytest_asyncio.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    settings = PostgresSettings(
        database_url=SecretStr(databases.app_dsn("inventory")), db_schema="inventory"
    )
    database = Database(settings, name="inventory-service")
    yield database
    await database.close()
