"""The gateway simulator as a process of its own, and payment-service's part of the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio
from devstack.processes import Processes
from devstack.simulator import launch
from devstack.topology import GATEWAY_KEY
from payment_service.gateway.breaker import Breaker, Threshold
from payment_service.gateway.client import Client
from payment_service.gateway.provider import Provider

from tests.support.cashier import Cashier, open_cashier
from tests.support.gateway import RunningGateway
from tests.support.postgres import Databases

PATIENT = Threshold(calls=100, failed=1, window=timedelta(minutes=1))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Run the simulator as the process that it is everywhere."""
    folder = tmp_path_factory.mktemp("gateway")
    processes = Processes(folder / "logs")
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        url = runner.run(launch.start(processes, folder / "ledger.sqlite"))
        yield RunningGateway(url, folder / "ledger.sqlite")
        runner.run(processes.stop_all())


@pytest_asyncio.fixture
async def provider(gateway: RunningGateway) -> AsyncIterator[Provider]:
    """Speak to the simulator as the service does, with less patience."""
    async with speaking(gateway, patience=timedelta(seconds=2)) as provider:
        yield provider


@pytest_asyncio.fixture
async def hasty_provider(gateway: RunningGateway) -> AsyncIterator[Provider]:
    """Speak to the simulator with hardly any patience."""
    async with speaking(gateway, patience=timedelta(seconds=0.2)) as provider:
        yield provider


@asynccontextmanager
async def speaking(gateway: RunningGateway, patience: timedelta) -> AsyncIterator[Provider]:
    client = Client(
        url=gateway.url,
        key=GATEWAY_KEY,
        timeout=patience,
        connections=8,
        breaker=Breaker("test", PATIENT, open_for=timedelta(seconds=1)),
    )
    async with client:
        yield Provider(client, clock_skew=timedelta(seconds=5))


@pytest_asyncio.fixture
async def cashier(databases: Databases, gateway: RunningGateway) -> AsyncIterator[Cashier]:
    """Work on the test's own database, against the simulator."""
    async with open_cashier(databases.app_dsn("payments"), gateway) as cashier:
        yield cashier
