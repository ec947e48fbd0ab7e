"""Starts a service again whenever it is not running, as an orchestrator does."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from devstack.deployment import Deployment
from devstack.errors import StackError
from devstack.processes import Processes
from devstack.together import together
from devstack.topology import SERVICES

_POLL = 0.05
_GRACE = 25.0
"""A service's own limit is 20 s."""


class Keeper:
    """Takes over all four services as they run, and keeps them so until it is cancelled."""

    def __init__(self, services: Deployment, processes: Processes) -> None:
        self.own_exits: Counter[str] = Counter()
        """Service → how often it ended without being told to."""
        self._services = services
        self._processes = processes
        self._hands = {name: asyncio.Lock() for name in SERVICES}
        """Held by whoever starts or stops the service."""
        self._ready = set(SERVICES)
        self._expected: set[str] = set()
        """Services that were ended by us, and are not running again yet."""

    async def run(self) -> None:
        """Start what is not running, for ever."""
        await together(self._keep(name) for name in SERVICES)

    def is_up(self) -> bool:
        """Tell whether all services run and are ready."""
        return all(name in self._ready and self._services.runs(name) for name in SERVICES)

    def kill(self, name: str) -> bool:
        """Kill a service as a crash would; answers whether there was one."""
        if not self._services.runs(name):
            return False
        self._expected.add(name)
        self._services.kill(name)
        return True

    def send(self, name: str, number: signal.Signals, mode: str = "serve") -> bool:
        """Send a signal to the process itself; answers whether there was one."""
        if not self._services.runs(name, mode):
            return False
        os.kill(self._services.pid(name, mode), number)
        return True

    async def stop(self, name: str) -> int | None:
        """Stop a service as an operator would, and let it start again; answers its exit code."""
        async with self.away(name) as code:
            return code

    @asynccontextmanager
    async def away(self, name: str) -> AsyncIterator[int | None]:
        """Keep a service stopped for a while; gives its exit code, if there was one to stop."""
        async with self._hands[name]:
            self._ready.discard(name)
            self._expected.add(name)
            yield await self._ended(name)

    async def _ended(self, name: str) -> int | None:
        if not self._services.runs(name):
            return None
        process = self._processes[name]
        process.send(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while process.running:  # noqa: ASYNC110  a child that ends sets no event
                    await asyncio.sleep(_POLL)
        code = process.exit_code
        self._services.kill(name)
        return code

    async def _keep(self, name: str) -> None:
        while True:
            if not self._services.runs(name):
                async with self._hands[name]:
                    await self._revive(name)
            await asyncio.sleep(_POLL)

    async def _revive(self, name: str) -> None:
        self._ready.discard(name)
        if name in self._expected:
            self._expected.discard(name)
        else:
            self.own_exits[name] += 1
        with suppress(KeyError):  # forgotten already
            self._services.kill(name)
        with suppress(StackError):  # it ended before it was ready, so it is started again
            await self._services.start(name)
            self._ready.add(name)
