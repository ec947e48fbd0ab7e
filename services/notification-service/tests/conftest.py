"""The database of one test, as notification's app role reaches it."""

from collections.abc import AsyncIterator

import pytest_asyncio
from common.database import Database
from common.settings import PostgresSettings
from pydantic import SecretStr

from tests.support.postgres import Databases


@pytest_asyncio.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    settings = PostgresSettings(
        database_url=SecretStr(databases.app_dsn("notifications")), db_schema="notifications"
    )
    database = Database(settings, name="notification-service")
    yield database
    await database.close()
