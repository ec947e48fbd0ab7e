"""Orders that arrive together are stored together: one transaction, answered after its commit."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from common import telemetry
from common.database import Database
from common.errors import Contended, Refusal, Unavailable
from common.failpoint import failpoint
from common.idempotency import mismatch
from prometheus_client import Counter

from order_service import handlers, idempotency
from order_service.domain import Caps, Patience, PlaceOrder
from order_service.idempotency import Answer
from order_service.store import backlog, keys
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


_LOOK = 1.0
"""Seconds between two looks at the outbox: it neither grows nor drains by much in less."""

_COME_BACK = 5.0
"""Seconds: what a backlog takes to shrink by something that is worth a second request."""

SHED = Counter("pedido_orders_shed_total", "Orders refused because too much waits", ["reason"])

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Bounds:
    """Beyond these an order is refused with 503, at once or after a bounded wait."""

    capacity: int = 2000
    """Callers that wait at one time."""
    delay: timedelta = timedelta(seconds=1)
    """Of the order that waits longest to be begun: a queue that old is no burst but an excess."""
    wait: timedelta = timedelta(seconds=5)
    """For the answer, whatever the database does; by its key, the order is found later."""
    backlog_rows: int = 200_000
    backlog_age: timedelta = timedelta(minutes=10)
    """Of what the outbox has not sent: an order that nobody hears of expires."""


STANDARD = Bounds()


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
    queued_at: float
    callers: int = 0
    answer: asyncio.Future[Answer | BaseException] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def slot(self) -> Slot:
        return self.submission.row.slot


class Backlog:
    """Whether the outbox is too far behind; a look is never waited for and at most one a second."""

    def __init__(self, database: Database, bounds: Bounds) -> None:
        self._database = database
        self._bounds = bounds
        self._floor = 0
        self._newest = 0
        self._next_look = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._is_too_long = False

    def check(self) -> None:
        """Refuse while it is; an order after a pause goes by what was known before it."""
        now = _now()
        if now >= self._next_look and (self._looking is None or self._looking.done()):
            self._next_look = now + _LOOK
            self._looking = asyncio.create_task(self._look(), context=contextvars.Context())
        if self._is_too_long:
            raise _overloaded("backlog", _COME_BACK)

    async def _look(self) -> None:
        try:
            behind = await backlog.find_oldest(self._database, self._floor)
        except (Unavailable, Contended) as error:
            _log.warning("backlog unknown", reason=str(error))
            return
        bounds = self._bounds
        self._is_too_long = behind.rows > bounds.backlog_rows or behind.age > bounds.backlog_age
        # Where nothing waits, go by the look before: what had its id then is committed by now.
        self._floor = self._newest if behind.oldest is None else behind.oldest - 1
        self._newest = behind.newest


class Intake:
    """Collects concurrent orders into batches; a batch grows while the one before it commits."""

    def __init__(
        self,
        database: Database,
        *,
        patience: Patience,
        caps: Caps = handlers.NORMAL,
        bounds: Bounds = STANDARD,
    ) -> None:
        """Store orders in this database; who comes beyond the bounds is told to come back."""
        self._database = database
        self._patience = patience
        self._caps = caps
        self._bounds = bounds
        self._backlog = Backlog(database, bounds)
        self._callers = 0
        self._queue: deque[_Entry] = deque()
        self._open: dict[Slot, _Entry] = {}
        self._worker: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Refuse whoever comes now, if too much waits; asked before anything is read of them."""
        if self._callers >= self._bounds.capacity:
            raise _overloaded("queue")
        if self._queue and _now() - self._queue[0].queued_at > self._bounds.delay.total_seconds():
            raise _overloaded("delay")
        self._backlog.check()

    async def submit(self, submission: Submission) -> Answer:
        """Store the order, or find the answer its key stands for; return after the commit.

        Raises the order's Refusal, or Unavailable when too much waits or the database is away.
        """
        self.check()
        entry = self._join(submission)
        outcome = await self._answer_of(entry)
        if isinstance(outcome, BaseException):
            raise outcome
        if entry.submission is not submission:
            telemetry.IDEMPOTENCY.labels("replayed").inc()
            return replace(outcome, replayed=True)
        return outcome

    async def _answer_of(self, entry: _Entry) -> Answer | BaseException:
        self._callers += 1
        entry.callers += 1
        try:
            async with asyncio.timeout(self._bounds.wait.total_seconds()):
                # Shielded: a caller that leaves must not cancel the answer of those who joined it.
                return await asyncio.shield(entry.answer)
        except TimeoutError:
            raise _overloaded("wait") from None
        finally:
            self._callers -= 1
            entry.callers -= 1

    def _join(self, submission: Submission) -> _Entry:
        entry = self._open.get(submission.row.slot)
        if entry is None:
            entry = _Entry(submission, _now())
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
            if batch := self._next_batch():
                await self._settle(batch)

    def _next_batch(self) -> list[_Entry]:
        """Take the first of the queue, but for those that nobody waits for any more."""
        batch: list[_Entry] = []
        while self._queue and len(batch) < BATCH:
            entry = self._queue.popleft()
            if entry.callers:
                batch.append(entry)
            else:
                del self._open[entry.slot]
        return batch

    async def _gather(self) -> None:
        """Wait as long as orders keep coming: briefly when quiet, a full batch when busy."""
        deadline = _now() + _LONGEST
        seen = 0
        while seen < len(self._queue) < BATCH and _now() < deadline:
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
        async with self._database.transaction(by_key=True) as tx:
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


def _now() -> float:
    return asyncio.get_running_loop().time()


def _overloaded(reason: str, retry_after: float = 1.0) -> Unavailable:
    SHED.labels(reason).inc()
    return Unavailable(f"orders are shed: {reason}", code="overloaded", retry_after=retry_after)


def _refusals(
    fresh: Sequence[Submission], outcomes: Sequence[object]
) -> Iterator[tuple[Slot, Refusal]]:
    for each, outcome in zip(fresh, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            yield each.row.slot, outcome


def _placed(row: KeyRow) -> Answer:
    return Answer(row.status, row.body, row.order_id)
