"""Orders that arrive together are stored together: one transaction, answered after its commit."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from common import telemetry
from common.database import Database
from common.errors import Refusal, Unavailable
from common.failpoint import failpoint
from common.idempotency import mismatch

from order_service import handlers, idempotency
from order_service.domain import Caps, Patience, PlaceOrder
from order_service.idempotency import Answer
from order_service.store import keys
from order_service.store.keys import KeyRow, Slot

BATCH = 200
"""Past this a larger transaction saves little and delays the first answer in it."""

_PAUSE = 0.001
"""A batch closes when nobody new has come for so long: what a lone order waits."""

_LONGEST = 0.005
"""However fast orders keep coming, a batch closes after so long."""

_RETRY_LOCK_WAIT = 200
"""Milliseconds. The whole batch waited the role's full lock time-out before it was halved."""

_RETRY_DELAYS = (0.05, 0.2, 0.8)
"""Seconds between attempts while the database is away; then the callers are told to come back."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An order to place, and what its key will stand for once it is placed.

    Its order id is made before the first attempt and kept, so that a key stored with it proves
    that an attempt whose commit was never confirmed did succeed.
    """

    command: PlaceOrder
    row: KeyRow


@dataclass(slots=True)
class _Entry:
    submission: Submission
    answer: asyncio.Future[Answer | BaseException] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def slot(self) -> Slot:
        return self.submission.row.slot


class Intake:
    """Collects concurrent orders into batches; a batch grows while the one before it commits."""

    def __init__(
        self,
        database: Database,
        *,
        patience: Patience,
        caps: Caps = handlers.NORMAL,
        capacity: int = 2000,
    ) -> None:
        """Bound the number of callers that wait at one time; more are told to come back."""
        self._database = database
        self._patience = patience
        self._caps = caps
        self._capacity = capacity
        self._callers = 0
        self._queue: deque[_Entry] = deque()
        self._open: dict[Slot, _Entry] = {}
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, submission: Submission) -> Answer:
        """Store the order, or find the answer its key stands for; return after the commit.

        Raises the order's Refusal, or Unavailable when the queue is full or the database away.
        """
        if self._callers >= self._capacity:
            raise Unavailable("too many orders at once", code="overloaded", retry_after=1)
        self._callers += 1
        try:
            entry = self._join(submission)
            # Shielded: a caller that hangs up must not cancel the answer of those who joined it.
            outcome = await asyncio.shield(entry.answer)
        finally:
            self._callers -= 1
        if isinstance(outcome, BaseException):
            raise outcome
        if entry.submission is not submission:
            telemetry.IDEMPOTENCY.labels("replayed").inc()
            return replace(outcome, replayed=True)
        return outcome

    def _join(self, submission: Submission) -> _Entry:
        entry = self._open.get(submission.row.slot)
        if entry is None:
            entry = _Entry(submission)
            self._open[entry.slot] = entry
            self._queue.append(entry)
            self._wake()
        elif entry.submission.row.fingerprint != submission.row.fingerprint:
            raise mismatch()
        return entry

    def _wake(self) -> None:
        if self._worker is None or self._worker.done():
            # A context of its own: the first caller's trace is not that of the whole batch.
            self._worker = asyncio.create_task(self._work(), context=contextvars.Context())

    async def _work(self) -> None:
        while self._queue:
            await self._gather()
            size = min(BATCH, len(self._queue))
            batch = [self._queue.popleft() for _ in range(size)]
            await self._settle(batch)

    async def _gather(self) -> None:
        """Wait as long as orders keep coming: briefly when quiet, a full batch when busy."""
        deadline = asyncio.get_running_loop().time() + _LONGEST
        seen = 0
        while seen < len(self._queue) < BATCH and asyncio.get_running_loop().time() < deadline:
            seen = len(self._queue)
            await asyncio.sleep(_PAUSE)

    async def _settle(self, batch: Sequence[_Entry], lock_wait: int | None = None) -> None:
        """Commit and answer the batch; halve it when it fails, so that a bad order fails alone."""
        submissions = [entry.submission for entry in batch]
        # Gathered, so that whatever goes wrong is an answer too: nobody is left waiting.
        (outcome,) = await asyncio.gather(
            self._commit_surely(submissions, lock_wait), return_exceptions=True
        )
        if not isinstance(outcome, BaseException):
            self._answer(batch, outcome)
        elif isinstance(outcome, Unavailable):
            # Who queued meanwhile would wait as long again, only to hear the same.
            batch = [*batch, *self._queue]
            self._queue.clear()
            self._answer(batch, [outcome] * len(batch))
        elif len(batch) == 1:
            self._answer(batch, [outcome])
        else:
            half = len(batch) // 2
            await self._settle(batch[:half], _RETRY_LOCK_WAIT)
            await self._settle(batch[half:], _RETRY_LOCK_WAIT)

    def _answer(self, batch: Sequence[_Entry], outcomes: Sequence[Answer | BaseException]) -> None:
        for entry, outcome in zip(batch, outcomes, strict=True):
            del self._open[entry.slot]
            entry.answer.set_result(outcome)

    async def _commit_surely(
        self, submissions: Sequence[Submission], lock_wait: int | None
    ) -> list[Answer | Refusal]:
        """Commit, again while the database is away: a second attempt finds what the first did."""
        for delay in _RETRY_DELAYS:
            try:
                return await self._commit(submissions, lock_wait)
            except Unavailable:
                await asyncio.sleep(delay)
        return await self._commit(submissions, lock_wait)

    async def _commit(
        self, submissions: Sequence[Submission], lock_wait: int | None
    ) -> list[Answer | Refusal]:
        """Take the keys, place the orders whose key was free, give the refused keys back."""
        async with self._database.transaction() as tx:
            if lock_wait is not None:
                await keys.limit_lock_wait(tx, lock_wait)
            known = await idempotency.claim(tx, [each.row for each in submissions])
            fresh = [each for each in submissions if each.row.slot not in known]
            refused: dict[Slot, Refusal] = {}
            if fresh:
                commands = [each.command for each in fresh]
                outcomes = await handlers.place_orders(
                    tx, commands, patience=self._patience, caps=self._caps
                )
                refused = dict(_refusals(fresh, outcomes))
            await idempotency.release(tx, list(refused))
            failpoint("intake.committing")
        failpoint("intake.committed")
        return [
            known.get(each.row.slot) or refused.get(each.row.slot) or _placed(each.row)
            for each in submissions
        ]


def _refusals(
    fresh: Sequence[Submission], outcomes: Sequence[object]
) -> Iterator[tuple[Slot, Refusal]]:
    for each, outcome in zip(fresh, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            yield each.row.slot, outcome


def _placed(row: KeyRow) -> Answer:
    return Answer(row.status, row.body, row.order_id)
