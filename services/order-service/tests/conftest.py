"""The order service's application on a database of its own, without a socket or a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from devstack import postgres
from devstack.dsn import of_database
from devstack.stack import Stack
from order_service.app import build
from order_service.settings import Settings
from pydantic import SecretStr

from tests.support.live import LiveShop, open_live
from tests.support.postgres import Databases
from tests.support.shop import API, Caller, Shop


@asynccontextmanager
async def _open_shop(databases: Databases) -> AsyncIterator[Shop]:
    """Build the real application and talk to it in this process; nothing reaches a broker."""
    settings = Settings(
        app_env="development",
        database_url=SecretStr(databases.app_dsn("orders")),
        db_schema="orders",
        kafka_bootstrap_servers="127.0.0.1:9",
    )
    service = build(settings)
    transport = httpx2.ASGITransport(app=service.api)
    client = httpx2.AsyncClient(transport=transport, base_url=f"http://pedido{API}")
    async with client:
        yield Shop(service.api, service.database, service.api.state.parts.issuer, client)
    await service.database.close()


@pytest_asyncio.fixture
async def shop(databases: Databases) -> AsyncIterator[Shop]:
    """Open a shop that nobody else sees."""
    async with _open_shop(databases) as shop:
        yield shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stocked(stack: Stack, template_database: str) -> AsyncIterator[Shop]:
    """Open one shop with things to sell, for a file of tests that don't mind each other."""
    name = f"test-{uuid4()}"
    await postgres.create_database(stack.admin_dsn, name, template=template_database)
    async with _open_shop(Databases(name, of_database(stack.admin_dsn, name))) as shop:
        await shop.sell(("TEA", 250), ("GOLD", 10**12), *((f"P{n}", 1) for n in range(1000)))
        yield shop
    await postgres.drop_database(stack.admin_dsn, name)


@pytest_asyncio.fixture
async def live(databases: Databases) -> AsyncIterator[LiveShop]:
    """Open a shop that can be listened to, with tea."""
    async with open_live(databases) as live:
        await live.sell(("TEA", 250))
        yield live


@pytest.fixture
def customer(stocked: Shop) -> Caller:
    """Somebody new in that shop."""
    return stocked.caller()
