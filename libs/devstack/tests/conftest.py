"""One gateway for all tests, and a client that speaks to it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from devstack.processes import Processes
from devstack.simulator import launch
from devstack.topology import GATEWAY_KEY

from tests.support.gateway import Client, RunningGateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Run the simulator as the process that it is everywhere."""
    folder = tmp_path_factory.mktemp("gateway")
    processes = Processes(folder / "logs")
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        url = runner.run(launch.start(processes, folder / "ledger.sqlite"))
        yield RunningGateway(url, folder / "ledger.sqlite")
        runner.run(processes.stop_all())


@pytest_asyncio.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[Client]:
    """Know the gateway's API key."""
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    # to load all authorities of the web for a plain connection would take longer than a test
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, verify=nobody) as http:
        yield Client(http)


@pytest_asyncio.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    """Own some children for one test."""
    children = Processes(tmp_path / "logs")
    yield children
    await children.stop_all()
