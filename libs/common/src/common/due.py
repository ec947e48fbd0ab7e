"""Loops over rows with a due time: work outside any transaction, and timers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from common import telemetry
from common.database import Database
from common.errors import Contended, Unavailable
from common.failpoint import failpoint
from common.message import uuid7

R = TypeVar("R")
A = TypeVar("A")

AHEAD = 64
"""Rows leased beyond those being worked on: one lease and one settling carry dozens of rows."""
_SOONEST = timedelta(milliseconds=50)
"""The first wait after work; each look that finds nothing doubles it, up to the loop's `poll`."""

EVER = datetime(1970, 1, 1, tzinfo=UTC)
_BOTTOM_HOLDS = 5.0
"""Seconds for which a bottom is not looked for again."""

_log = telemetry.get_logger()


@dataclass
class Bottom:
    """The time from which on rows wait, so that no look walks over those that are dead.

    As long as any session could still see them, because it forgot its transaction, Postgres keeps
    every entry of an index: without a bottom, each look reads all that was settled since then.
    """

    sql: str
    """Answers the first row's time, but none so late that a transaction may still commit before."""
    _value: datetime = EVER
    _holds_until: float = 0.0

    async def find(self, fetch: Callable[[str], Awaitable[Sequence[Any]]]) -> datetime:
        """Answer it from memory, or look; what appears below it is found at the next look."""
        if time.monotonic() >= self._holds_until:
            # Before the look, which may be slow, or fail: meanwhile the last bottom serves.
            self._holds_until = time.monotonic() + _BOTTOM_HOLDS
            ((self._value,),) = await fetch(self.sql)
        return self._value


class Loop(Protocol):
    """Anything that runs beside the consumer until it is told to stop."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then finish what is in hand and return."""


@dataclass
class SweepLoop:
    """Calls `sweep` until it finds nothing, then waits for the bell or the poll interval."""

    name: str
    database: Database
    sweep: Callable[[], Awaitable[int]]
    poll: timedelta
    bell: str | None = None
    """Rung where work is made; without one, the interval alone ends a wait."""

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until told to stop; a database that is away is waited for."""
        while not stop.is_set():
            try:
                found = await self.sweep()
            except (Unavailable, Contended) as error:
                _log.warning("sweep waits", name=self.name, reason=str(error))
                found = 0
            if found:
                continue
            if self.bell is None:
                await pause(stop, self.poll.total_seconds())
            else:
                await wait_either(stop, self.database, self.bell, self.poll)


@dataclass
class DueLoop(Generic[R, A]):
    """Leases due rows, works on each outside any transaction, settles outcomes in batches.

    A row may wait for its turn: `work` looks first whether its lease still lasts for an attempt.
    """

    name: str
    database: Database
    lease: Callable[[Database, int, UUID, timedelta], Awaitable[list[R]]]
    """Lease at most so many rows under this token for that long, SKIP LOCKED, and do no more:
    by one statement alone where that is enough, a transaction costs three exchanges beside it."""
    work: Callable[[R], Awaitable[A]]
    """Answer an outcome for every failure that can be expected; called with nothing locked."""
    settle: Callable[[Sequence[tuple[R, A]]], Awaitable[None]]
    """Apply a batch of outcomes in a transaction of its own."""
    lease_for: timedelta
    poll: timedelta
    """The longest time between two looks: what another process made due is found that late."""
    bell: str
    concurrency: int = 32
    busy: int = 8
    gathering: timedelta = timedelta(milliseconds=5)
    """While so many are in hand, settling waits so long for more of them to finish."""
    look: Callable[[], Awaitable[bool]] | None = None
    """Tell by one cheap statement whether anything may be due, where no bell told so."""
    _in_hand: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _room: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set while few enough are in hand to lease a whole batch more."""
    _finished: list[tuple[R, A]] = field(default_factory=list, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Lease, work and settle until told to stop; then settle what was still in hand."""
        settling = asyncio.create_task(self._settle_all(stop))
        turns = asyncio.Semaphore(self.concurrency)
        most = self.concurrency + AHEAD
        self._room.set()
        wait, told = _SOONEST, True
        while not stop.is_set():
            await self._room.wait()
            wanted = most - len(self._in_hand)
            rows = await self._lease(wanted, told=told)
            if rows:
                failpoint("due.leased")
            for row in rows:
                task = asyncio.create_task(self._work(row, turns))
                self._in_hand.add(task)
                task.add_done_callback(self._put_down)
            if len(self._in_hand) > most // 2:
                self._room.clear()
            wait = _SOONEST if rows else min(wait * 2, self.poll)
            told = len(rows) == wanted or await wait_either(stop, self.database, self.bell, wait)
        if self._in_hand:
            await asyncio.wait(self._in_hand)
        self._news.set()
        await settling

    def _put_down(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        if len(self._in_hand) <= (self.concurrency + AHEAD) // 2:
            self._room.set()

    async def _lease(self, most: int, *, told: bool) -> list[R]:
        try:
            if self.look and not told and not await self.look():
                return []
            return await self.lease(self.database, most, uuid7(), self.lease_for)
        except (Unavailable, Contended) as error:
            _log.warning("lease waits", name=self.name, reason=str(error))
            await asyncio.sleep(0.1)
            return []

    async def _work(self, row: R, turns: asyncio.Semaphore) -> None:
        try:
            async with turns:
                outcome = await self.work(row)
        except Exception:  # a bug: the lease runs out and the row is tried again
            _log.exception("work failed", name=self.name)
            return
        failpoint("due.worked")
        self._finished.append((row, outcome))
        self._news.set()

    async def _settle_all(self, stop: asyncio.Event) -> None:
        """Settle what is finished; what finishes meanwhile makes up the next batch."""
        while not (stop.is_set() and not self._in_hand and not self._finished):
            await self._news.wait()
            if len(self._in_hand) >= self.busy:
                await asyncio.sleep(self.gathering.total_seconds())
            self._news.clear()
            batch, self._finished = self._finished, []
            if batch:
                await self._settle(batch)

    async def _settle(self, batch: Sequence[tuple[R, A]]) -> None:
        try:
            await self.settle(batch)
            failpoint("due.settled")
        except (Unavailable, Contended) as error:
            _log.warning("settling waits", name=self.name, reason=str(error))
            await asyncio.sleep(0.2)
            if len(batch) > 1 and isinstance(error, Contended):
                half = len(batch) // 2
                await self._settle(batch[:half])
                await self._settle(batch[half:])
                return
            self._finished[:0] = batch
            self._news.set()
        except Exception:
            if len(batch) == 1:
                _log.exception("outcome can't be settled", name=self.name)
                return
            for each in batch:
                await self._settle([each])


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until told to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def wait_either(
    stop: asyncio.Event, database: Database, bell: str, timeout: timedelta
) -> bool:
    """Wait until told to stop, until the bell rings, or the time is up; answers whether it rang."""
    ringing = asyncio.create_task(database.bell(bell).wait(timeout.total_seconds()))
    stopping = asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait({ringing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return ringing in done and ringing.result()
