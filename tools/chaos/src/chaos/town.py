"""The running suite with everything that a fault may take hold of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from devstack.deployment import Deployment
from devstack.stack import Stack
from invariants.sources import Sources

from chaos.keeper import Keeper
from chaos.links import Links
from chaos.load import Load

_POLL = 0.1


class ChaosError(Exception):
    """The run can't go on: a fault could not be injected, or something did not heal."""


@dataclass
class Town:
    """One stack, its services, the links between them, the load on them."""

    stack: Stack
    services: Deployment
    keeper: Keeper
    links: Links
    load: Load
    sources: Sources
    complaints: list[str] = field(default_factory=list)
    """What a fault saw that must not be, beside the invariants."""

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Open a superuser's session, past all links."""
        db = await asyncpg.connect(self.stack.admin_dsn)
        try:
            yield db
        finally:
            await db.close()

    @asynccontextmanager
    async def configured(self, settings: Mapping[str, Mapping[str, str]]) -> AsyncIterator[None]:
        """Run some services with other settings for a while."""
        usual = {name: self.services.overrides[name] for name in settings}
        try:
            for name, values in settings.items():
                self.services.overrides[name] = {**usual[name], **values}
                await self.keeper.stop(name)
            yield
        finally:
            for name, values in usual.items():
                self.services.overrides[name] = values
                await self.keeper.stop(name)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    """Wait for a condition; raises ChaosError when it does not come to hold."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            message = f"{what}: not within {seconds:g} s"
            raise ChaosError(message)
        await asyncio.sleep(_POLL)
