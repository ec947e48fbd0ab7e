"""Decides messages and says what follows: what a first handling and a retry have in common."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from common import dead_letter, outbox, parked, telemetry
from common.database import Transaction
from common.errors import Flood, Poison
from common.failpoint import failpoint
from common.message import Decisions, Event, Received, Said, Stale, State, StateRecord, Versioned
from common.parked import Parked
from common.reading import Reader, Reading, Taken

S = TypeVar("S", bound=State)

Upsert = Callable[[Transaction, Sequence[StateRecord]], Awaitable[None]]

_WINDOW = 200
"""Decisions looked back on to tell a broken deploy from broken data."""

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
    unhurried: bool = False
    """No order waits for what this service does: while it has work, the next may gather longer."""


@dataclass
class Batch:
    """What one transaction did, for the counters: they move only after its commit."""

    results: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    decided: list[bool] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    """Seconds that each decided event had taken to come here."""
    parked: list[Parked] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def count(self, reading: Reading, result: str) -> None:
        """Count a record by its type."""
        self.results[reading.record.topic, reading.type_name, result] += 1


class Decider(Generic[S]):
    """Runs a subscription's decisions, and remembers how many of the last ones failed."""

    def __init__(self, subscription: Subscription[S]) -> None:
        self.subscription = subscription
        self.reader = Reader(subscription.decisions, subscription.states)
        self.state_topics = frozenset(kind.TOPIC for kind in subscription.states)
        self._recent: deque[bool] = deque(maxlen=_WINDOW)

    def fold(
        self, state: S, taken: Taken, batch: Batch, now: datetime, *, old: bool = False
    ) -> dead_letter.Failure | None:
        """Decide one message and apply the outcome, or answer why it could not be decided.

        An old failure tells nothing new of the deploy.
        """
        message = taken.received
        if message is None:
            return parked.failure_of(taken.skew or Poison(), now)
        try:
            failpoint("deciding.folding", message.key)
            outcome = self.subscription.decisions[type(message.event)](state, message.event)
        except Exception as error:  # a bug or a hiccup: this message waits, its neighbours don't
            _log.exception("decision failed", **_facts(message))
            if not old:
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
        batch.ages.append(max(0.0, (now - message.occurred_at).total_seconds()))
        return None

    async def keep(
        self, tx: Transaction, event_type: type[Event], newest: Sequence[StateRecord]
    ) -> None:
        """Upsert the newest of each key, and drop what was parked of it before."""
        await self.subscription.states[event_type](tx, newest)
        versions = {each.key.encode(): each.version for each in newest}
        await parked.forget_states(tx, event_type.TOPIC, versions)
        erased = [each.key.encode() for each in newest if each.event is None]
        if erased:
            await parked.blank(tx, event_type.TOPIC, erased)

    async def announce(self, tx: Transaction, batch: Batch) -> None:
        """Write what the batch said and parked; what is set aside for good becomes a letter."""
        new = await parked.add(tx, batch.parked)
        dead = [each for each in new if each.state == "skipped"]
        batch.dead.update(each.failure.error_class for each in dead)
        await outbox.append(tx, batch.said)
        await outbox.insert(tx, [self.dead_letter(each) for each in dead])

    def dead_letter(self, each: Parked) -> outbox.OutboxRow:
        """Copy a parked record for the dead-letter topic, personal data left out."""
        personal = each.record.topic in self.state_topics
        record = dead_letter.without_content(each.record) if personal else each.record
        return dead_letter.dead_letter(record, each.failure, group=self.subscription.group)

    def report(self, batch: Batch) -> None:
        """Count what the batch did, once it is committed."""
        for (topic, name, result), count in batch.results.items():
            telemetry.CONSUMED.labels(topic, name, result).inc(count)
        for reason, count in batch.dead.items():
            telemetry.DEAD_LETTERS.labels(reason).inc(count)
        telemetry.EVENT_AGE.observe_all(batch.ages)
        self._recent.extend(batch.decided)

    def check_flood(self) -> None:
        """Raise Flood when half of the last decisions failed."""
        failed = self._recent.count(False)
        if len(self._recent) == _WINDOW and failed * 2 >= _WINDOW:
            raise Flood(f"{failed} of the last {_WINDOW} decisions failed")

    def forget_failures(self) -> None:
        """Begin a new window: an operator has looked at the flood and resumed."""
        self._recent.clear()


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
