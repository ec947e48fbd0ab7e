"""Take, load, fold, save: how every batch of messages becomes one transaction.

A batch ends in one of these ways, and the caller moves its offsets only after the first:
committed; halved and tried again (load or save failed or took too long, or others held the rows);
waited for (the database is away, or others hold the inbox itself). One message that fails in its
own decision is parked, its neighbours go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from common import inbox, parked, telemetry
from common.database import Database, Transaction
from common.dead_letter import Record
from common.deciding import Batch, Decider, Subscription
from common.due import pause
from common.errors import Contended, Poison, Unavailable
from common.failpoint import failpoint
from common.message import State, StateRecord
from common.parked import Parked
from common.reading import Bad, Ignored, Reading, Stated, Taken, TooOld

S = TypeVar("S", bound=State)

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
"""Seconds between tries while the database is away: soon at first, never a storm at its return."""
_CUT_OFF = 30.0
"""Seconds after which PostgreSQL ends a transaction by its transaction_timeout, and the connection
with it. The driver then says that this was lost, not why."""

_log = telemetry.get_logger()


def was_cut_off(error: Exception, began: float) -> bool:
    """Tell whether a transaction that began then was lost because it took too long."""
    return isinstance(error, Unavailable) and time.monotonic() - began >= _CUT_OFF


class Shell(Generic[S]):
    """Runs a subscription's decisions over records, wherever these come from."""

    def __init__(self, subscription: Subscription[S], *, database: Database) -> None:
        self.decider = Decider(subscription)
        self._database = database

    async def handle(self, records: Sequence[Record], stop: asyncio.Event) -> bool:
        """Take every record of the batch; answers whether it did, or was told to stop first.

        Raises Flood, after the commit, when half of the last decisions failed.
        """
        wait = _FIRST_WAIT
        while not stop.is_set():
            try:
                await self._all(records)
            except (Unavailable, Contended) as error:  # contended even for one record, set aside
                _log.warning("waiting for the database", reason=str(error))
                await pause(stop, wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                self.decider.check_flood()
                return True
        return False

    async def _all(self, records: Sequence[Record]) -> None:
        began = time.monotonic()
        try:
            await self._once(records)
        except Exception as error:  # load or save failed: find out for whom, first half first
            if isinstance(error, Unavailable) and not was_cut_off(error, began):
                raise
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
        readings = [self.decider.reader.read(record, now) for record in records]
        batch = Batch()
        if all(map(_is_passed, readings)):
            _count_passed(readings, batch)
            await inbox.pass_over(self._database, _next_offsets(records))
            self.decider.report(batch)
            return
        async with self._database.transaction(by_key=True) as tx:
            await self._states(tx, [r for r in readings if isinstance(r, Stated)], batch)
            fresh = await self._take(tx, readings, batch)
            failpoint("shell.claimed")
            await self._decide(tx, fresh, batch)
            await self.decider.announce(tx, batch)
            failpoint("shell.committing")
        failpoint("shell.committed")
        self.decider.report(batch)

    async def _take(
        self, tx: Transaction, readings: Sequence[Reading], batch: Batch
    ) -> list[tuple[int, Taken]]:
        """Claim what is new, in the batch's order; count or set aside all the rest."""
        taken = [reading for reading in readings if isinstance(reading, Taken)]
        claim = await inbox.claim(tx, taken, _next_offsets(reading.record for reading in readings))
        fresh: dict[Any, tuple[int, Taken]] = {}
        for place, reading in enumerate(taken):
            first = fresh.get(reading.event_id)
            if first is not None or reading.event_id not in claim.fresh:
                reused = (reading.event_id, reading.digest) in claim.reused
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
        _count_passed(readings, batch)
        return list(fresh.values())

    def _poison(self, record: Record, reason: Poison, batch: Batch, tx: Transaction) -> None:
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
        self, tx: Transaction, fresh: Sequence[tuple[int, Taken]], batch: Batch
    ) -> None:
        if not fresh:
            return
        blocked = await parked.blocked_keys(tx, (taken.key for _, taken in fresh))
        messages = [t.received for _, t in fresh if t.received and t.key not in blocked]
        state = await self.decider.subscription.load(tx, messages)
        failpoint("shell.loaded")
        for seq, taken in fresh:
            failure = (
                parked.waits_behind(tx.now)
                if taken.key in blocked
                else self.decider.fold(state, taken, batch, tx.now)
            )
            if failure:
                blocked.add(taken.key)
                batch.parked.append(Parked(taken.record, seq, taken.event_id, "retry", failure))
                batch.count(taken, "parked")
        failpoint("shell.saving")
        await self.decider.subscription.save(tx, state)
        failpoint("shell.saved")

    async def _states(self, tx: Transaction, stated: Sequence[Stated], batch: Batch) -> None:
        for event_type in self.decider.subscription.states:
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
                in_order = sorted(newest.values(), key=lambda state: state.key)
                await self.decider.keep(tx, event_type, in_order)

    async def _park_state(self, tx: Transaction, reading: Stated, error: BaseException) -> None:
        failure = parked.failure_of(error, tx.now)
        await parked.add_state(
            tx, Parked(reading.record, 0, None, "retry", failure, reading.version)
        )

    async def _park_alone(self, record: Record, error: Exception) -> None:
        """Take a record whose own load or save fails, without deciding on it."""
        reading = self.decider.reader.read(record, datetime.now(UTC))
        if _is_passed(reading):  # nothing of it can be parked: others hold its position
            raise error
        _log.error("message parked", error=repr(error), topic=record.topic, offset=record.offset)
        batch = Batch(decided=[False])
        async with self._database.transaction() as tx:
            if isinstance(reading, Stated):
                await self._park_state(tx, reading, error)
                batch.count(reading, "parked")
            for seq, taken in await self._take(tx, [reading], batch):
                failure = parked.failure_of(error, tx.now)
                batch.parked.append(Parked(record, seq, taken.event_id, "retry", failure))
                batch.count(taken, "parked")
            await self.decider.announce(tx, batch)
        self.decider.report(batch)


def _is_passed(reading: Reading) -> bool:
    return isinstance(reading, Ignored | TooOld)


def _count_passed(readings: Iterable[Reading], batch: Batch) -> None:
    for each in filter(_is_passed, readings):
        batch.count(each, "ignored" if isinstance(each, Ignored) else "stale")


def _next_offsets(records: Iterable[Record]) -> dict[tuple[str, int], int]:
    return {(record.topic, record.partition): record.offset + 1 for record in records}
