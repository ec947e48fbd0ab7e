"""A breaker's row: written when it changes, forgotten when its process is gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from common.breakers import BreakerNotes

from tests.support.waiting import eventually

if TYPE_CHECKING:
    import asyncpg
    from common.database import Database

pytestmark = pytest.mark.postgres


@dataclass
class Switch:
    """A breaker that a test turns."""

    name: str = "gateway"
    state: str = "closed"


async def test_a_breaker_is_written_down_as_it_changes(
    database: Database, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await admin.execute(
        "INSERT INTO breakers VALUES ('gateway', 'gone', 'open', now(), now() - interval '1 hour')"
    )
    switch, stop = Switch(), asyncio.Event()
    noting = asyncio.create_task(BreakerNotes(database, [switch]).run(stop))

    async def is_now(state: str) -> bool:
        rows = await admin.fetch("SELECT state FROM breakers WHERE name = 'gateway'")
        return [row["state"] for row in rows] == [state]

    await eventually(lambda: is_now("closed"))
    since = await admin.fetchval("SELECT since FROM breakers")
    switch.state = "open"
    await eventually(lambda: is_now("open"))

    assert await admin.fetchval("SELECT since FROM breakers") > since
    stop.set()
    await noting
