"""Writes down the state of this process' circuit breakers, for operators who ask another one."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from common import telemetry
from common.database import Database
from common.due import pause
from common.errors import Contended, Unavailable

_LOOK, _REPEAT = 1.0, 30.0
"""Seconds: a change is written at the next look, and what did not change now and then."""
_FORGOTTEN = timedelta(minutes=2)
"""A process that has written nothing for so long is gone, and its breakers with it."""

_log = telemetry.get_logger()


class Breaker(Protocol):
    """Something that refuses calls while the other side is given time."""

    name: str

    @property
    def state(self) -> str: ...


class BreakerNotes:
    """Keeps a row for each breaker of this process."""

    def __init__(self, database: Database, breakers: Sequence[Breaker]) -> None:
        self._database = database
        self._breakers = breakers
        self._instance = f"{socket.gethostname()}-{os.getpid()}"
        self._written: dict[str, str] = {}
        self._next = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Write what changed until told to stop; a database that is away is waited for."""
        while not stop.is_set():
            now = {each.name: each.state for each in self._breakers}
            if now != self._written or time.monotonic() >= self._next:
                await self._write(now)
            await pause(stop, _LOOK)

    async def _write(self, states: dict[str, str]) -> None:
        try:
            async with self._database.transaction() as tx:
                await tx.execute(
                    "DELETE FROM breakers WHERE seen_at < now() - $1::interval", _FORGOTTEN
                )
                await tx.execute(
                    """
                    INSERT INTO breakers AS b (name, instance, state)
                    SELECT name, $1, state FROM unnest($2::text[], $3::text[]) AS u (name, state)
                        ON CONFLICT (name, instance) DO UPDATE
                       SET state = excluded.state, seen_at = now(),
                           since = CASE WHEN b.state = excluded.state THEN b.since ELSE now() END
                    """,
                    self._instance,
                    list(states),
                    list(states.values()),
                )
        except (Unavailable, Contended) as error:
            _log.warning("breakers not written down", reason=str(error))
            return
        self._written, self._next = states, time.monotonic() + _REPEAT
