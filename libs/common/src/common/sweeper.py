"""Tries parked messages again when they are due; replay is nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from common import dead_letter, inbox, outbox, parked, telemetry
from common.consumer import Consumer
from common.database import Database, Transaction
from common.deciding import Batch, Decider
from common.due import SweepLoop, wait_either
from common.errors import Contended, Flood, Poison, Unavailable, UnknownSchema
from common.failpoint import failpoint
from common.message import State
from common.parked import Parked, Patience
from common.reading import Bad, Ignored, Reading, Stated, Taken, TooOld
from common.shell import was_cut_off

S = TypeVar("S", bound=State)

_SOONEST, _LATEST = 0.05, 5.0
"""Seconds between looks: what another process parks rings no bell here."""


_FORGETTING = timedelta(hours=1)
"""Between looks for what to forget: it is kept for months."""
_AT_ONCE = 1000
"""Messages forgotten in one transaction, which a backlog repeats."""

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """What was poison and is readable now, but was taken from its topic or another row before."""

    taken: Taken


Outlook = Reading | Duplicate


class Sweep(Generic[S]):
    """Decides parked messages anew, each with the outcome it would have had when it first came."""

    def __init__(self, decider: Decider[S], *, database: Database, patience: Patience) -> None:
        self._decider = decider
        self._database = database
        self._patience = patience

    async def once(self, limit: int = 100) -> int:
        """Try the parked messages that are due, heads of their keys only; answers how many."""
        heads: list[Parked] = []
        began = time.monotonic()
        try:
            return await self._try_heads(limit, heads)
        except Flood:
            raise
        except Exception as error:  # load or save failed: fewer at a time, until it is one alone
            if isinstance(error, Unavailable) and not was_cut_off(error, began):
                raise
            if limit > 1:
                return await self.once(limit // 2) + await self.once(limit - limit // 2)
            if not heads:
                raise
            await self._fail_head(heads[0], error)
            return 1

    async def _try_heads(self, limit: int, heads: list[Parked]) -> int:
        """Try those that are due, and name them even when that fails."""
        batch = Batch()
        async with self._database.transaction() as tx:
            heads += await parked.take_heads(tx, limit)
            if not heads:
                return 0
            failpoint("sweeper.taken")
            readings = {head.row_id: self._read(head, tx.now) for head in heads}
            await _claim(tx, heads, readings)
            received = [
                r.received for r in readings.values() if isinstance(r, Taken) and r.received
            ]
            state = await self._decider.subscription.load(tx, received)
            failed: list[tuple[Parked, dead_letter.Failure]] = []
            for head in heads:
                failure = await self._retry(tx, state, head, readings[head.row_id], batch)
                if failure:
                    failed.append((head, failure))
            await self._decider.subscription.save(tx, state)
            again = {head.row_id for head, _ in failed}
            await parked.delete(tx, [head for head in heads if head.row_id not in again])
            for head, failure in failed:
                aside = _is_poison(head, readings[head.row_id])
                await self._put_back(tx, head, failure, batch, aside=aside)
            await self._decider.announce(tx, batch)
            failpoint("sweeper.committing")
        failpoint("sweeper.committed")
        self._decider.report(batch)
        telemetry.REPLAYED.labels("handled").inc(len(heads) - len(failed))
        telemetry.REPLAYED.labels("failed").inc(len(failed))
        self._decider.check_flood()
        return len(heads)

    def _read(self, head: Parked, now: datetime) -> Outlook:
        """Read it as when it was claimed, however long ago; poison has no claim yet."""
        moment = inbox.made_at(head.event_id) if head.event_id else now
        return self._decider.reader.read(head.record, moment)

    async def _retry(
        self, tx: Transaction, state: S, head: Parked, reading: Outlook, batch: Batch
    ) -> dead_letter.Failure | None:
        failure: dead_letter.Failure | None = None
        if isinstance(reading, Taken):
            failure = self._decider.fold(state, reading, batch, tx.now, old=_is_old(head))
        elif isinstance(reading, Duplicate):
            batch.count(reading.taken, "duplicate")
        elif isinstance(reading, Stated) and reading.state:
            await self._decider.keep(tx, reading.event_type, [reading.state])
        else:
            failure = parked.failure_of(_reason(reading), tx.now)
        return failure and parked.repeated(failure, head.failure)

    async def _put_back(
        self,
        tx: Transaction,
        head: Parked,
        failure: dead_letter.Failure,
        batch: Batch,
        *,
        aside: bool = False,
    ) -> None:
        """Let it wait for its next try, or set it aside: poison at once, and its key goes on."""
        spent = aside or failure.attempts >= self._patience.attempts
        spent = spent and head.state_version is None
        then: parked.ParkedState = "skipped" if aside else self._patience.then
        state: parked.ParkedState = then if spent else "retry"
        delay = self._patience.delay(failure.attempts)
        await parked.failed_again(tx, head, state=state, failure=failure, delay=delay)
        if spent:
            batch.dead[failure.error_class] += 1
            dead = Parked(head.record, head.seq, head.event_id, state, failure)
            await outbox.insert(tx, [self._decider.dead_letter(dead)])

    async def _fail_head(self, failed: Parked, error: Exception) -> None:
        """Note the failure, unless another sweeper or an operator has had the message since."""
        batch = Batch()
        async with self._database.transaction() as tx:
            for head in await parked.take_again(tx, failed):
                batch.decided = [] if _is_old(head) else [False]
                failure = parked.repeated(parked.failure_of(error, tx.now), head.failure)
                await self._put_back(tx, head, failure, batch)
        self._decider.report(batch)


async def _claim(tx: Transaction, heads: Sequence[Parked], readings: dict[int, Outlook]) -> None:
    """Claim what was poison and is readable now; what is known already is not decided again."""
    first: dict[UUID, Taken] = {}
    late: dict[int, Taken] = {}
    for head in heads:
        reading = readings[head.row_id]
        if head.event_id is None and isinstance(reading, Taken):
            late[head.row_id] = reading
            first.setdefault(reading.event_id, reading)
    if not late:
        return
    claim = await inbox.claim(tx, list(first.values()), {}, origin="parked")
    for row_id, taken in late.items():
        original = first[taken.event_id]
        if taken is original and taken.event_id in claim.fresh:
            continue
        reused = (taken.event_id, taken.digest) in claim.reused or taken.digest != original.digest
        known = Poison("ce_id is known with other content")
        readings[row_id] = Bad(taken.record, known) if reused else Duplicate(taken)
    claimed = {id_: t.event_id for id_, t in late.items() if readings[id_] is t}
    await parked.note_claims(tx, claimed)


def _reason(reading: Ignored | TooOld | Bad | Stated) -> Poison | UnknownSchema:
    """Say why it is still not handled."""
    if isinstance(reading, Bad):
        return reading.reason
    if isinstance(reading, Stated):
        return reading.skew or UnknownSchema()
    if isinstance(reading, TooOld):
        return Poison("its ce_id is older than the inbox: whether it was handled is not known")
    return Poison("this deploy does not decide on it: deploy one that does, or discard it")


def _is_old(head: Parked) -> bool:
    """Tell whether its failure says nothing of the deploy: it is tried a dozen times, or for ever.

    The first retry still does: after a restart nothing else may tell of a flood.
    """
    return head.state_version is not None or head.failure.attempts > 1


def _is_poison(head: Parked, reading: Outlook) -> bool:
    """Tell what blocks nobody: it can't be read, or is not ours and was never claimed."""
    return isinstance(reading, Bad) or (
        head.event_id is None and isinstance(reading, Ignored | TooOld)
    )


class Sweeper:
    """Sweeps a consumer's parked messages, unless that consumer is halted."""

    def __init__(self, consumer: Consumer[Any], database: Database) -> None:
        self._consumer = consumer
        self._database = database
        self._sweep = Sweep(consumer.shell.decider, database=database, patience=consumer.patience)

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until told to stop; a database that is away is waited for."""
        while not stop.is_set():
            wait = _LATEST
            try:
                await self._consumer.look_for_halt()  # a restart must not sweep on
                if not self._consumer.halted:
                    wait = await self._round(stop)
            except (Unavailable, Contended) as error:
                _log.warning("sweeper waits", reason=str(error))
                wait = _LATEST
            except Flood as flood:
                await self._consumer.halt(str(flood))
            await wait_either(stop, self._database, parked.BELL, timedelta(seconds=wait))

    async def _round(self, stop: asyncio.Event) -> float:
        """Try all that is due; answers how many seconds to wait before the next round."""
        while (due_in := await self._due_in()) <= 0 and await self._sweep.once():
            if stop.is_set() or self._consumer.halted:  # what fails may be due again at once
                break
        return min(max(_SOONEST, due_in), _LATEST)

    async def _due_in(self) -> float:
        """Say in how many seconds the next message is due, and measure what waits."""
        async with self._database.transaction() as tx:
            telemetry.PARKED_KEYS.set(await parked.count_blocked_keys(tx))
            due_in = await parked.next_due_in(tx)
        return _LATEST if due_in is None else due_in


def forgetting(database: Database, keep: timedelta) -> SweepLoop:
    """Make the loop that forgets what was set aside so long ago: it may be about somebody."""

    async def once() -> int:
        async with database.transaction() as tx:
            return await parked.forget(tx, keep, most=_AT_ONCE)

    return SweepLoop("what is set aside", database, once, _FORGETTING)
