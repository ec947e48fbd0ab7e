"""Events as values: what is said, what was received, and what a decision answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar
from uuid import UUID

import uuid_utils.compat
from pydantic import BaseModel, ConfigDict
from typing_extensions import dataclass_transform

S = TypeVar("S")
V = TypeVar("V")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[V]) -> type[V]:
    """Make a value of which each record needs one or more: frozen, and mypy sees to it.

    At run time it is not: a frozen dataclass takes three times as long to make.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


def uuid7() -> UUID:
    """Make a time-ordered id: the inbox is partitioned by the time that is in it."""
    return uuid_utils.compat.uuid7()


class Event(BaseModel):
    """A fact on a topic; a service lists just the fields that it reads or says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    TOPIC: ClassVar[str]
    """The topic's logical name; TOPIC_PREFIX is put in front at the broker's edge."""
    KEY: ClassVar[str] = "order_id"
    """The field that is the Kafka key: all events of one aggregate keep their order."""

    @classmethod
    def type_name(cls) -> str:
        """Name the type as the wire does: ce_type and the Avro record's name."""
        return cls.__name__

    def key(self) -> str:
        """Read the Kafka key out of the event."""
        return str(getattr(self, self.KEY))


@value
class Cause:
    """What led to a message: another one, or a request from outside, which has no event id."""

    event_id: UUID | None
    correlation_id: str
    traceparent: str | None = None


@value
class Received:
    """A decoded event with the identity that makes handling it once possible."""

    event: Event
    event_id: UUID
    key: bytes
    topic: str
    partition: int
    offset: int
    occurred_at: datetime
    correlation_id: str
    causation_id: UUID | None = None
    traceparent: str | None = None

    @property
    def cause(self) -> Cause:
        """Be the cause of what follows from this message."""
        return Cause(self.event_id, self.correlation_id, self.traceparent)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The removal of a key from a state topic."""

    topic: str
    key: str
    type_name: str


@value
class Said:
    """An event, or a tombstone, with the identity that it will have on the wire."""

    event: Event | Tombstone
    event_id: UUID = field(default_factory=uuid7)
    cause: Cause | None = None
    version: int | None = None
    """ce_version: set for state topics, where consumers upsert only what is newer."""


@value
class StateRecord:
    """The newest that a state topic says of a key; no event means that it was removed."""

    key: str
    version: int
    event: Any | None
    event_id: UUID


@value
class Versioned:
    """An event for a state topic, as a decision says it."""

    event: Event
    version: int


@value
class Outcome:
    """What a decision answers: the changes to its state, and what to announce."""

    changes: tuple[object, ...] = ()
    events: tuple[Event | Versioned, ...] = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """The message came twice or too late; counted, logged and committed, nothing else."""

    reason: str


Decisions: TypeAlias = Mapping[type[Event], Callable[[S, Any], Outcome | Stale]]
"""A service's part of the saga: event type → pure decision on the loaded state."""


class State(Protocol):
    """All that the decisions of one batch look at and change."""

    def apply(self, message: Received, changes: tuple[object, ...], said: Sequence[Said]) -> None:
        """Fold the outcome of one message in, for the next message of the batch to see."""
