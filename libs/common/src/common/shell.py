"""Take, load, fold, save: how every batch of messages becomes one transaction.

A batch ends in one of these ways, and the caller moves its offsets only after the first:
committed; halved and tried again (load or save failed, or others held the rows); waited for
(the database is away). One message that fails in its own decision is parked, its neighbours go on.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from common import dead_letter, inbox, outbox, parked, telemetry
from common.database import Database, Transaction
from common.dead_letter import Record
from common.due import pause
from common.errors import Contended, Flood, Poison, Unavailable
from common.message import Decisions, Event, Received, Said, Stale, State, StateRecord, Versioned
from common.parked import Parked, Patience
from common.reading import Bad, Ignored, Reader, Reading, Stated, Taken, TooOld

S = TypeVar("S", bound=State)

Upsert = Callable[[Transaction, Sequence[StateRecord]], Awaitable[None]]

_WINDOW = 200
"""Decisions looked back on to tell a broken deploy from broken data."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
"""Seconds between tries while the database is away: soon at first, never a storm at its return."""

_log = telemetry.get_logger()


@dataclass(frozen=True)
class Subscription(Generic[S]):
    """A service's part of the saga: what it decides on, and how its state is loaded and saved."""

    group: str
    decisions: Decisions[S]
    load: Callable[[Transaction, Sequence[Received]], Awaitable[S]]
    """Lock and read all that the batch needs: aggregates by id, then what they share, in order."""
    save: Callable[[Transaction, S], Awaitable[None]]
    """Write what the decisions changed, one set-based statement a table."""
    states: Mapping[type[Event], Upsert] = field(default_factory=dict)
    """State topics: upsert each record whose version is newer than the row's."""


@dataclass
class _Batch:
    """What one transaction did, for the counters: they move only after its commit."""

    results: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    decided: list[bool] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def count(self, reading: Ignored | TooOld | Stated | Taken | Bad, result: str) -> None:
        """Count a record by its type; a type that nobody knows has no label of its own."""
        if isinstance(reading, Taken):
            name = type(reading.received.event).type_name() if reading.received else "unknown"
        elif isinstance(reading, Stated):
            name = reading.event_type.type_name()
        else:
            name = reading.type_name if isinstance(reading, TooOld) else "other"
        self.results[reading.record.topic, name, result] += 1


class Shell(Generic[S]):
    """Runs a subscription's decisions over records, wherever these come from."""

    def __init__(
        self,
        subscription: Subscription[S],
        *,
        database: Database,
        patience: Patience,
        skip_dead: bool,
    ) -> None:
        self.subscription = subscription
        self.reader = Reader(subscription.decisions, subscription.states)
        self._database = database
        self._patience = patience
        self._after_last_attempt: parked.ParkedState = "skipped" if skip_dead else "dead"
        self._recent: deque[bool] = deque(maxlen=_WINDOW)

    def forget_failures(self) -> None:
        """Begin a new window: an operator has looked at the flood and resumed."""
        self._recent.clear()

    async def handle(self, records: Sequence[Record], stop: asyncio.Event) -> bool:
        """Take every record of the batch; answers whether it did, or was told to stop first.

        Raises Flood, after the commit, when half of the last decisions failed.
        """
        wait = _FIRST_WAIT
        while not stop.is_set():
            try:
                await self._all(records)
            except Unavailable as away:
                _log.warning("waiting for the database", reason=str(away))
                await pause(stop, wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                self._check_flood()
                return True
        return False

    async def _all(self, records: Sequence[Record]) -> None:
        try:
            await self._once(records)
        except Unavailable:
            raise
        except Exception as error:  # load or save failed: find out for whom, first half first
            if len(records) == 1:
                await self._park_alone(records[0], error)
                return
            if not isinstance(error, Contended):
                _log.exception("batch failed, halving it", batch_size=len(records))
            half = len(records) // 2
            await self._all(records[:half])
            await self._all(records[half:])

    async def _once(self, records: Sequence[Record]) -> None:
        now = datetime.now(UTC)
        readings = [self.reader.read(record, now) for record in records]
        batch = _Batch()
        async with self._database.transaction() as tx:
            await self._states(tx, [r for r in readings if isinstance(r, Stated)], batch)
            fresh = await self._take(tx, readings, batch)
            await self._decide(tx, fresh, batch)
            await self._announce(tx, batch)
            await inbox.advance_positions(tx, _next_offsets(records))
        self._report(batch)

    async def _take(
        self, tx: Transaction, readings: Sequence[Reading], batch: _Batch
    ) -> list[tuple[int, Taken]]:
        """Claim what is new, in the batch's order; count or set aside all the rest."""
        taken = [reading for reading in readings if isinstance(reading, Taken)]
        claim = await inbox.claim(tx, taken) if taken else inbox.Claim(0, frozenset(), frozenset())
        fresh: dict[Any, tuple[int, Taken]] = {}
        for place, reading in enumerate(taken):
            first = fresh.get(reading.event_id)
            if first is not None or reading.event_id not in claim.fresh:
                reused = reading.event_id in claim.reused
                if reused or (first is not None and first[1].digest != reading.digest):
                    reason = Poison("ce_id is known with other content")
                    self._poison(reading.record, reason, batch, tx)
                else:
                    batch.count(reading, "duplicate")
            else:
                fresh[reading.event_id] = (claim.seq + place, reading)
        for other in readings:
            if isinstance(other, Bad):
                self._poison(other.record, other.reason, batch, tx)
            elif isinstance(other, Ignored | TooOld):
                batch.count(other, "ignored" if isinstance(other, Ignored) else "stale")
        return list(fresh.values())

    def _poison(self, record: Record, reason: Poison, batch: _Batch, tx: Transaction) -> None:
        _log.error(
            "poison record",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=str(reason),
        )
        failure = parked.failure_of(reason, tx.now)
        batch.parked.append(Parked(record, 0, None, "skipped", failure))
        batch.results[record.topic, "other", "dead_lettered"] += 1

    async def _decide(
        self, tx: Transaction, fresh: Sequence[tuple[int, Taken]], batch: _Batch
    ) -> None:
        if not fresh:
            return
        blocked = await parked.blocked_keys(tx, (taken.key for _, taken in fresh))
        messages = [t.received for _, t in fresh if t.received and t.key not in blocked]
        state = await self.subscription.load(tx, messages)
        for seq, taken in fresh:
            failure = (
                parked.waits_behind(tx.now)
                if taken.key in blocked
                else self._fold(state, taken, batch, tx.now)
            )
            if failure:
                blocked.add(taken.key)
                batch.parked.append(Parked(taken.record, seq, taken.event_id, "retry", failure))
                batch.count(taken, "parked")
        await self.subscription.save(tx, state)

    def _fold(
        self, state: S, taken: Taken, batch: _Batch, now: datetime
    ) -> dead_letter.Failure | None:
        """Decide one message and apply the outcome, or answer why it could not be decided."""
        message = taken.received
        if message is None:
            return parked.failure_of(taken.skew or Poison(), now)
        try:
            outcome = self.subscription.decisions[type(message.event)](state, message.event)
        except Exception as error:  # a bug or a hiccup: this message waits, its neighbours don't
            _log.exception("decision failed", **_facts(message))
            batch.decided.append(False)
            return parked.failure_of(error, now)
        batch.decided.append(True)
        if isinstance(outcome, Stale):
            _log.info("stale message", reason=outcome.reason, **_facts(message))
            batch.count(taken, "stale")
            return None
        said = [_said(event, message) for event in outcome.events]
        state.apply(message, outcome.changes, said)
        batch.said.extend(said)
        batch.count(taken, "processed")
        telemetry.EVENT_AGE.observe(max(0.0, (now - message.occurred_at).total_seconds()))
        return None

    async def _states(self, tx: Transaction, stated: Sequence[Stated], batch: _Batch) -> None:
        for event_type, upsert in self.subscription.states.items():
            newest: dict[str, StateRecord] = {}
            for reading in stated:
                if reading.event_type is not event_type:
                    continue
                if reading.state is None:
                    await self._park_state(tx, reading, reading.skew or Poison())
                    batch.count(reading, "parked")
                    continue
                batch.count(reading, "processed")
                before = newest.get(reading.state.key)
                if before is None or before.version <= reading.state.version:
                    newest[reading.state.key] = reading.state
            if newest:
                await upsert(tx, sorted(newest.values(), key=lambda state: state.key))
                versions = {key.encode(): state.version for key, state in newest.items()}
                await parked.forget_states(tx, event_type.TOPIC, versions)

    async def _park_state(self, tx: Transaction, reading: Stated, error: BaseException) -> None:
        failure = parked.failure_of(error, tx.now)
        await parked.add_state(
            tx, Parked(reading.record, 0, None, "retry", failure, reading.version)
        )

    async def _announce(self, tx: Transaction, batch: _Batch) -> None:
        new = await parked.add(tx, batch.parked)
        dead = [each for each in new if each.state == "skipped"]
        batch.dead.update(each.failure.error_class for each in dead)
        await outbox.append(tx, batch.said)
        await outbox.insert(tx, [self._dead_letter(each) for each in dead])

    def _dead_letter(self, each: Parked) -> outbox.OutboxRow:
        personal = each.record.topic in {kind.TOPIC for kind in self.subscription.states}
        record = dead_letter.without_content(each.record) if personal else each.record
        return dead_letter.dead_letter(record, each.failure, group=self.subscription.group)

    async def _park_alone(self, record: Record, error: Exception) -> None:
        """Take a record whose own load or save fails, without deciding on it."""
        _log.error("message parked", error=repr(error), topic=record.topic, offset=record.offset)
        reading = self.reader.read(record, datetime.now(UTC))
        batch = _Batch(decided=[False])
        async with self._database.transaction() as tx:
            if isinstance(reading, Stated):
                await self._park_state(tx, reading, error)
                batch.count(reading, "parked")
            for seq, taken in await self._take(tx, [reading], batch):
                failure = parked.failure_of(error, tx.now)
                batch.parked.append(Parked(record, seq, taken.event_id, "retry", failure))
                batch.count(taken, "parked")
            await self._announce(tx, batch)
            await inbox.advance_positions(tx, _next_offsets([record]))
        self._report(batch)

    async def skip_unreadable(self, record: Record) -> None:
        """Note a record that the client itself can't unpack: its place is all there is of it."""
        batch = _Batch()
        async with self._database.transaction() as tx:
            self._poison(record, Poison("the client can't unpack this record"), batch, tx)
            await self._announce(tx, batch)
            await inbox.advance_positions(tx, _next_offsets([record]))
        self._report(batch)

    async def sweep(self, limit: int = 100) -> int:
        """Try the parked messages that are due, heads of their keys only; answers how many."""
        try:
            return await self._sweep_once(limit)
        except Unavailable:
            raise
        except Exception as error:  # load or save failed: fewer at a time, until it is one alone
            if limit > 1:
                return await self.sweep(limit // 2)
            await self._fail_head(error)
            return 1

    async def _sweep_once(self, limit: int) -> int:
        batch = _Batch()
        async with self._database.transaction() as tx:
            heads = await parked.take_heads(tx, limit)
            if not heads:
                return 0
            readings = {h.row_id: self.reader.read(h.record, tx.now) for h in heads}
            received = [
                r.received for r in readings.values() if isinstance(r, Taken) and r.received
            ]
            state = await self.subscription.load(tx, received)
            failed: list[tuple[Parked, dead_letter.Failure]] = []
            for head in heads:
                failure = await self._retry(tx, state, head, readings[head.row_id], batch)
                if failure:
                    failed.append((head, failure))
            await self.subscription.save(tx, state)
            again = {head.row_id for head, _ in failed}
            await parked.delete(tx, [head for head in heads if head.row_id not in again])
            for head, failure in failed:
                await self._put_back(tx, head, failure, batch)
            await self._announce(tx, batch)
        self._report(batch)
        telemetry.REPLAYED.labels("handled").inc(len(heads) - len(failed))
        telemetry.REPLAYED.labels("failed").inc(len(failed))
        self._check_flood()
        return len(heads)

    async def _retry(
        self, tx: Transaction, state: S, head: Parked, reading: Reading, batch: _Batch
    ) -> dead_letter.Failure | None:
        failure: dead_letter.Failure | None = None
        if isinstance(reading, Taken):
            failure = self._fold(state, reading, batch, tx.now)
        elif isinstance(reading, Stated) and reading.state:
            await self.subscription.states[reading.event_type](tx, [reading.state])
        elif isinstance(reading, Stated | Bad):
            error = reading.reason if isinstance(reading, Bad) else reading.skew
            failure = parked.failure_of(error or Poison(), tx.now)
        return failure and parked.repeated(failure, head.failure)

    async def _put_back(
        self, tx: Transaction, head: Parked, failure: dead_letter.Failure, batch: _Batch
    ) -> None:
        spent = failure.attempts >= self._patience.attempts and head.state_version is None
        state: parked.ParkedState = self._after_last_attempt if spent else "retry"
        delay = self._patience.delay(failure.attempts)
        await parked.failed_again(tx, head, state=state, failure=failure, delay=delay)
        if spent:
            batch.dead[failure.error_class] += 1
            dead = Parked(head.record, head.seq, head.event_id, state, failure)
            await outbox.insert(tx, [self._dead_letter(dead)])

    async def _fail_head(self, error: Exception) -> None:
        batch = _Batch(decided=[False])
        async with self._database.transaction() as tx:
            for head in await parked.take_heads(tx, 1):
                failure = parked.repeated(parked.failure_of(error, tx.now), head.failure)
                await self._put_back(tx, head, failure, batch)
        self._report(batch)

    def _report(self, batch: _Batch) -> None:
        for (topic, name, result), count in batch.results.items():
            telemetry.CONSUMED.labels(topic, name, result).inc(count)
        for reason, count in batch.dead.items():
            telemetry.DEAD_LETTERS.labels(reason).inc(count)
        self._recent.extend(batch.decided)

    def _check_flood(self) -> None:
        failed = self._recent.count(False)
        if len(self._recent) == _WINDOW and failed * 2 >= _WINDOW:
            raise Flood(f"{failed} of the last {_WINDOW} decisions failed")


def _said(event: Event | Versioned, message: Received) -> Said:
    if isinstance(event, Versioned):
        return Said(event.event, cause=message.cause, version=event.version)
    return Said(event, cause=message.cause)


def _facts(message: Received) -> dict[str, object]:
    return {
        "event_id": message.event_id,
        "event_type": type(message.event).type_name(),
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "correlation_id": message.correlation_id,
    }


def _next_offsets(records: Iterable[Record]) -> dict[tuple[str, int], int]:
    return {(record.topic, record.partition): record.offset + 1 for record in records}
