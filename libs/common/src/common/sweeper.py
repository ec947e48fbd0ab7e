"""Tries parked messages again when they are due; replay is nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from common import parked, telemetry
from common.consumer import Consumer
from common.database import Database
from common.due import pause
from common.errors import Contended, Flood, Unavailable

_SOONEST, _LATEST = 0.05, 2.0
"""Seconds between looks: another process may park a message, and nobody rings for it."""


class Sweeper:
    """Sweeps a consumer's parked messages, unless that consumer is halted."""

    def __init__(self, consumer: Consumer[Any], database: Database) -> None:
        self._consumer = consumer
        self._database = database

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until told to stop; a database that is away is waited for."""
        while not stop.is_set():
            wait = _LATEST
            try:
                if not self._consumer.halted:
                    wait = await self._sweep()
            except (Unavailable, Contended):
                wait = _LATEST
            except Flood as flood:
                await self._consumer.halt(str(flood))
            await pause(stop, wait)

    async def _sweep(self) -> float:
        while await self._consumer.shell.sweep():
            pass
        async with self._database.transaction() as tx:
            telemetry.PARKED_KEYS.set(await parked.count_blocked_keys(tx))
            due_in = await parked.next_due_in(tx)
        return min(max(_SOONEST, due_in), _LATEST) if due_in is not None else _LATEST
