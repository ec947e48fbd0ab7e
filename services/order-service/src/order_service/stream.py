"""Live status: one look each 100 ms at every order that is listened to, however many listen."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import islice
from uuid import UUID

from common import telemetry
from common.database import Database
from common.due import pause, wait_either
from common.errors import Contended, Refusal, Unavailable
from prometheus_client import Gauge

from order_service.domain import FACTS, Health, Order, Patience, Recorded, Status, evolve, opened
from order_service.store import news
from order_service.store.news import Row

BELL = "listeners"
"""Rung when the first one comes: until then nobody asks the database anything."""

INTERVAL = 0.1
"""Seconds between two looks: what a person calls at once, and ten statements a second."""

_FRESH = 100
"""Orders whose whole history one look reads: a thousand new listeners must not stop the loop."""

_UNTIL_THE_BELL = timedelta(minutes=1)

LISTENERS = Gauge("pedido_order_listeners", "Live streams and long polls that are open")

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many may listen at one time, and for how long."""

    listeners: int = 2000
    per_caller: int = 32
    life: timedelta = timedelta(minutes=15)
    heartbeat: timedelta = timedelta(seconds=15)
    grace: timedelta = timedelta(seconds=5)
    """For a reader who does not read, before the connection is cut."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An event of an order's history, and where the order was just after it."""

    order_id: UUID
    version: int
    type: str
    occurred_at: datetime
    recorded_at: datetime
    service: str
    event_id: UUID
    status: Status
    saga: Health
    is_settled: bool


class Watched:
    """An order that somebody listens to; its moments are shared, a listener keeps only its place.

    So a reader that is slow, or does not read at all, costs no memory.
    """

    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id
        self.listeners = 0
        self.over = False
        """Nothing will come any more: this process ends, or does not understand the history."""
        self.moments: list[Moment] = []
        self._order: Order | None = None
        self._news = asyncio.Event()

    @property
    def version(self) -> int:
        return self.moments[-1].version if self.moments else 0

    def since(self, version: int) -> Sequence[Moment]:
        """Tell everything that came after that version, oldest first."""
        return [moment for moment in self.moments if moment.version > version]

    def is_told(self, version: int) -> bool:
        """Tell whether somebody who heard of that version has nothing more to wait for."""
        last = self.moments[-1] if self.moments else None
        return self.over or (last is not None and last.is_settled and last.version <= version)

    def take(self, rows: Sequence[Row], patience: Patience) -> None:
        """Fold what happened into the order, moment by moment, and wake who waits."""
        for row in rows:
            fact = FACTS[row["type"]].model_validate_json(row["data"])
            self._order = _fold(self._order, Recorded(fact, row["recorded_at"]), patience)
            self.moments.append(_moment(row, self._order))
        self._wake()

    def end(self) -> None:
        """Send every listener home."""
        self.over = True
        self._wake()

    async def wait(self, seconds: float) -> bool:
        """Wait for news at most so long; tell whether there are any."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Feed:
    """Knows who listens to what, and asks the database for all of them at once."""

    def __init__(self, database: Database, *, patience: Patience, limits: Limits) -> None:
        """Watch the orders of this database; `run` is what looks."""
        self.limits = limits
        self._database = database
        self._patience = patience
        self._watched: dict[UUID, Watched] = {}
        self._callers: Counter[UUID] = Counter()
        self._closing = False

    @contextmanager
    def listen(self, order_id: UUID, caller: UUID) -> Iterator[Watched]:
        """Take a place among the listeners, and give it back; refuses when there is none."""
        self._admit(caller)
        watched = self._watched.setdefault(order_id, Watched(order_id))
        watched.listeners += 1
        self._callers[caller] += 1
        LISTENERS.inc()
        self._database.bell(BELL).ring()
        try:
            yield watched
        finally:
            LISTENERS.dec()
            self._leave(watched, caller)

    async def run(self, stop: asyncio.Event) -> None:
        """Look while anybody listens, until told to stop; then send everybody home."""
        try:
            while not stop.is_set():
                if self._watched:
                    await self._look()
                    await pause(stop, INTERVAL)
                else:
                    await wait_either(stop, self._database, BELL, _UNTIL_THE_BELL)
        finally:
            self._closing = True
            for watched in self._watched.values():
                watched.end()

    def _admit(self, caller: UUID) -> None:
        if self._closing:
            raise Unavailable("this process ends")
        if self._callers.total() >= self.limits.listeners:
            raise Unavailable("too many listeners", code="overloaded", retry_after=5)
        if self._callers[caller] >= self.limits.per_caller:
            raise Refusal(
                "rate_limited",
                f"At most {self.limits.per_caller} requests of one caller may wait for news at a"
                " time: end one.",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                retry_after=5,
            )

    def _leave(self, watched: Watched, caller: UUID) -> None:
        self._callers[caller] -= 1
        if not self._callers[caller]:
            del self._callers[caller]
        watched.listeners -= 1
        if not watched.listeners:
            self._forget(watched)

    def _forget(self, watched: Watched) -> None:
        if self._watched.get(watched.order_id) is watched:
            del self._watched[watched.order_id]

    async def _look(self) -> None:
        known = self._known()
        try:
            rows = await news.list_news(self._database, known)
        except (Unavailable, Contended) as error:
            _log.warning("live status waits", reason=str(error))
            return
        found: dict[UUID, list[Row]] = defaultdict(list)
        for row in rows:
            found[row["order_id"]].append(row)
        for order_id, its_rows in found.items():
            watched = self._watched.get(order_id)
            # Its last listener may have left meanwhile, and another one come.
            if watched is not None and watched.version == known[order_id]:
                self._tell(watched, its_rows)

    def _known(self) -> Mapping[UUID, int]:
        """Tell which version of which order is known; of the new ones, only the first so many."""
        known = {each.order_id: each.version for each in self._watched.values() if each.version}
        fresh = (each.order_id for each in self._watched.values() if not each.version)
        return known | dict.fromkeys(islice(fresh, _FRESH), 0)

    def _tell(self, watched: Watched, rows: Sequence[Row]) -> None:
        if unknown := {row["type"] for row in rows} - FACTS.keys():
            # A newer process wrote it: who comes back is perhaps answered by that one.
            _log.warning("live status does not know an event", event_type=min(unknown))
            self._forget(watched)
            watched.end()
        else:
            watched.take(rows, self._patience)


def _fold(order: Order | None, event: Recorded, patience: Patience) -> Order:
    if order is None:
        return opened(event.fact, event.at)
    return evolve(order, event.fact, at=event.at, patience=patience)


def _moment(row: Row, order: Order) -> Moment:
    return Moment(
        order_id=order.order_id,
        version=row["version"],
        type=row["type"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        service=row["service"],
        event_id=row["event_id"],
        status=order.status,
        saga=order.saga,
        is_settled=order.is_settled,
    )
