"""One service's messaging in memory: claim, park, load, fold, save, announce; all or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from common.message import Decisions, Event, Received, Said, Stale, Versioned

from tests.model.topics import Record, Stream, Topics, record_of


class Rows(Protocol):
    """A service's tables: copies out, changes in."""

    def load(self, batch: Sequence[Received], now: datetime) -> Any: ...

    def save(self, state: Any) -> None: ...


@dataclass
class Participant:
    """A service whose decisions and state are the real ones."""

    name: str
    decisions: Decisions[Any]
    rows: Rows
    topics: Topics
    inbox: set[UUID] = field(default_factory=set)
    parked: dict[str, list[Received]] = field(default_factory=dict)
    skipped: list[Received] = field(default_factory=list)
    outbox: list[Record] = field(default_factory=list)
    offsets: defaultdict[Stream, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.heard = {kind.type_name(): kind for kind in self.decisions}
        self.subscribed = {kind.TOPIC for kind in self.decisions}

    def waiting(self) -> list[Stream]:
        """Name the streams with something to decide on; what is ignored is passed over."""
        return [stream for stream in self.topics.records if self._has_next(stream)]

    def _has_next(self, stream: Stream) -> bool:
        if stream.topic not in self.subscribed:
            return False
        records = self.topics.records[stream]
        while (at := self.offsets[stream]) < len(records):
            if records[at].type_name in self.heard:
                return True
            self.offsets[stream] = at + 1
        return False

    def next_of(self, stream: Stream) -> Record:
        return self.topics.records[stream][self.offsets[stream]]

    def rewind(self) -> None:
        """Go back to the beginning of everything."""
        self.offsets.clear()

    def take(self, records: Iterable[Record], now: datetime) -> None:
        """Handle a batch in one transaction."""
        fresh: dict[UUID, Received] = {}
        for record in records:
            if record.event_id not in self.inbox and record.event_id not in fresh:
                fresh[record.event_id] = record.read_as(self.heard[record.type_name])
        ready = []
        for message in fresh.values():
            key = message.key.decode()
            if key in self.parked:
                self.parked[key].append(message)
            else:
                ready.append(message)
        self._decide(ready, now)
        self.inbox.update(fresh)

    def rehearse(self, record: Record, now: datetime) -> None:
        """Do all the work, and crash before the commit."""
        message = record.read_as(self.heard[record.type_name])
        state = self.rows.load([message], now)
        self._fold(state, message)

    def park(self, record: Record) -> None:
        """Fail for a reason of no interest: it waits, and its key's later ones wait behind it."""
        if record.event_id not in self.inbox:
            message = record.read_as(self.heard[record.type_name])
            self.parked.setdefault(record.key, []).append(message)
            self.inbox.add(record.event_id)

    def ignore(self, stream: Stream) -> None:
        """Take the next message and never decide on it."""
        self.inbox.add(self.next_of(stream).event_id)
        self.offsets[stream] += 1

    def set_aside(self, stream: Stream) -> None:
        """Fail, and let an operator take what fails out of the way at once."""
        record = self.next_of(stream)
        self.park(record)
        self.offsets[stream] += 1
        if record.key in self.parked:
            self.skip(record.key)

    def skip(self, key: str) -> None:
        """Let an operator take the first message that waits out of the way, to replay it later."""
        head, *behind = self.parked.pop(key)
        self.skipped.append(head)
        if behind:
            self.parked[key] = behind

    def replay(self, now: datetime) -> None:
        """Decide on the message that was skipped longest ago."""
        self._decide([self.skipped.pop(0)], now)

    def retry(self, key: str, now: datetime) -> None:
        """Decide on the first message that waits for a key."""
        head, *behind = self.parked[key]
        self._decide([head], now)
        if behind:
            self.parked[key] = behind
        else:
            del self.parked[key]

    def announce(self, said: Iterable[Said], now: datetime) -> None:
        self.outbox += [record_of(each, now) for each in said]

    def relay(self, count: int | None = None, *, crash: bool = False) -> None:
        """Carry rows to their topics; after a crash in between they are still there."""
        rows = self.outbox[:count]
        for record in rows:
            self.topics.append(record)
        if not crash:
            del self.outbox[: len(rows)]

    def _decide(self, messages: Sequence[Received], now: datetime) -> None:
        if not messages:
            return
        state = self.rows.load(messages, now)
        said = [each for message in messages for each in self._fold(state, message)]
        self.rows.save(state)
        self.announce(said, now)

    def _fold(self, state: Any, message: Received) -> list[Said]:
        outcome = self.decisions[type(message.event)](state, message.event)
        if isinstance(outcome, Stale):
            return []
        said = [_said(event, message) for event in outcome.events]
        state.apply(message, outcome.changes, said)
        return said


def _said(event: Event | Versioned, message: Received) -> Said:
    if isinstance(event, Versioned):
        return Said(event.event, cause=message.cause, version=event.version)
    return Said(event, cause=message.cause)
