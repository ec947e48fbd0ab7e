"""Topics in memory: real bytes, in order per topic and key, and nothing promised between them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from common import avro
from common.message import Cause, Event, Received, Said

PLACED_FROM_OUTSIDE = Cause(None, "request")


@dataclass(frozen=True, slots=True)
class Record:
    """One event on the wire."""

    topic: str
    key: str
    type_name: str
    payload: bytes
    event_id: UUID
    cause: Cause
    occurred_at: datetime

    def read_as(self, event_type: type[Event]) -> Received:
        """Decode the event as one consumer knows it."""
        return Received(
            event=avro.decode(self.payload, event_type),
            event_id=self.event_id,
            key=self.key.encode(),
            topic=self.topic,
            partition=0,
            offset=0,
            occurred_at=self.occurred_at,
            correlation_id=self.cause.correlation_id,
            causation_id=self.cause.event_id,
        )


class Stream(NamedTuple):
    """All records of one key in one topic."""

    topic: str
    key: str


@dataclass
class Topics:
    """Every record ever relayed, for as long as the world lasts."""

    records: defaultdict[Stream, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def append(self, record: Record) -> None:
        self.records[Stream(record.topic, record.key)].append(record)

    def of(self, topic: str, order_id: UUID) -> list[Record]:
        """List what was said of an order, once each."""
        records = self.records.get(Stream(topic, str(order_id)), ())
        return list({record.event_id: record for record in records}.values())


def record_of(said: Said, now: datetime) -> Record:
    """Write what is said in the transaction that says it, as the outbox does."""
    if not isinstance(said.event, Event):
        raise TypeError("nobody erases anything here")
    return Record(
        topic=said.event.TOPIC,
        key=said.event.key(),
        type_name=said.event.type_name(),
        payload=avro.encode(said.event),
        event_id=said.event_id,
        cause=said.cause or PLACED_FROM_OUTSIDE,
        occurred_at=now,
    )
