"""Real service processes on a test's own database and topics."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from devstack.deployment import Deployment
from devstack.stack import Stack

from tests.support.kafka import Topics
from tests.support.postgres import Databases


@pytest_asyncio.fixture
async def services(stack: Stack, databases: Databases, topics: Topics) -> AsyncIterator[Deployment]:
    """Start whichever services the test names, and stop all at its end."""
    deployment = Deployment(stack, databases.admin_dsn, prefix=topics.prefix)
    yield deployment
    await deployment.stop()
