"""The servers that marked tests run against: started when the first test asks, once a session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from devstack import kafka
from devstack.stack import Stack
from devstack.topology import CACHE


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Run the stack for the whole session, on a loop of its own."""
    # The loop is made by hand, so that it never becomes the one that pytest-asyncio's tests get.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        exits = AsyncExitStack()
        yield runner.run(exits.enter_async_context(Stack.start(durable=False)))
        runner.run(exits.aclose())


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download the broker before the first test's time-out runs."""
    if not session.config.option.collectonly and any(
        "stack" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        kafka.fetch_jars(CACHE)
