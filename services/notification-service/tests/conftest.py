"""The database of one test, as notification's app role reaches it, and the application on it."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from common.auth import TokenIssuer
from common.database import Database
from common.settings import JwtIssuerSettings, PostgresSettings
from notification_service.app import build
from notification_service.domain.addresses import Digests
from notification_service.settings import Settings
from pydantic import SecretStr

from tests.support.mailroom import Mailroom
from tests.support.postgres import Databases


@pytest_asyncio.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    settings = PostgresSettings(
        database_url=SecretStr(databases.app_dsn("notifications")), db_schema="notifications"
    )
    database = Database(settings, name="notification-service")
    yield database
    await database.close()


@pytest.fixture
def settings(databases: Databases) -> Settings:
    return Settings(
        app_env="test",
        database_url=SecretStr(databases.app_dsn("notifications")),
        kafka_bootstrap_servers="127.0.0.1:9",
        smtp_url=SecretStr("smtp://127.0.0.1:9"),
    )


@pytest.fixture
def digests(settings: Settings) -> Digests:
    return Digests(settings.derived_key("addresses"))


@pytest_asyncio.fixture
async def mailroom(settings: Settings) -> AsyncIterator[Mailroom]:
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    service = build(settings)
    service.api.state.verifier = issuer.verifier()
    transport = httpx2.ASGITransport(app=service.api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://pedido/api/v1") as http:
        yield Mailroom(service.database, http, issuer)
    await service.database.close()
