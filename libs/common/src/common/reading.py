"""From a raw record to something a service can decide on, or the reason why it can't."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from asyncpg.pgproto.pgproto import UUID  # a uuid.UUID, made in C

from common import avro, inbox
from common.dead_letter import Record
from common.errors import Poison, UnknownSchema
from common.message import Event, Received, StateRecord, value
from common.parked import KEY_LIMIT


@value
class Ignored:
    """A type that this service does not decide on: never decoded."""

    record: Record
    type_name: ClassVar[str] = "other"
    """A type that nobody knows has no label of its own."""


@value
class TooOld:
    """An id from before the inbox's oldest partition: handled once, long ago."""

    record: Record
    type_name: str


@value
class Bad:
    """A record that can't be decoded, and never will be."""

    record: Record
    reason: Poison
    type_name: ClassVar[str] = "other"


@value
class Taken:
    """A record with an identity that can be claimed; the event is missing on deploy skew."""

    record: Record
    event_id: UUID
    received: Received | None
    skew: UnknownSchema | None = None
    digest: bytes = b""

    @property
    def type_name(self) -> str:
        """Be counted under the event's type."""
        return type(self.received.event).type_name() if self.received else "unknown"

    @property
    def key(self) -> bytes:
        """Be claimed under the record's key."""
        return self.record.key or b""

    @property
    def topic(self) -> str:
        """Be claimed under the record's topic."""
        return self.record.topic

    @property
    def partition(self) -> int:
        """Be claimed under the record's partition."""
        return self.record.partition

    @property
    def offset(self) -> int:
        """Be claimed under the record's offset."""
        return self.record.offset


@value
class Stated:
    """A state topic's record; without a value it is a tombstone."""

    record: Record
    event_type: type[Event]
    state: StateRecord | None
    version: int
    skew: UnknownSchema | None = None

    @property
    def type_name(self) -> str:
        """Be counted under the state's type."""
        return self.event_type.type_name()


Reading = Ignored | TooOld | Bad | Taken | Stated
_Headers = Mapping[bytes, bytes]

_HANDED_ON = 512
"""Bytes of a header that each effect gets, too; ours have 64. A cause of a megabyte would have
effects that the broker refuses.
"""


class Reader:
    """Reads the records of the topics that one service subscribes to."""

    def __init__(
        self, wanted: Mapping[type[Event], Any], states: Mapping[type[Event], Any]
    ) -> None:
        self._wanted = {(each.TOPIC, each.type_name().encode()): each for each in wanted}
        self._states = {each.TOPIC: each for each in states}

    @property
    def topics(self) -> list[str]:
        """List what to subscribe to."""
        return sorted({topic for topic, _ in self._wanted} | set(self._states))

    def read(self, record: Record, now: datetime) -> Reading:
        """Look at the type first, then decode this record alone: a bad one spoils no other."""
        headers = dict(record.headers)  # of two with one name, the last counts
        try:
            if wanted := self._wanted.get((record.topic, headers.get(b"ce_type", b""))):
                return _taken(record, headers, wanted, now)
            type_name = _text(headers, b"ce_type")
            if event_type := self._states.get(record.topic):
                return _stated(record, headers, event_type, type_name)
            return Ignored(record)
        except Poison as reason:
            return Bad(record, reason)


def _text(headers: _Headers, name: bytes) -> str:
    value = headers.get(name)
    if not value:
        raise Poison(f"header {name.decode()} is missing")
    if b"\x00" in value:
        raise Poison(f"header {name.decode()} has a NUL, which PostgreSQL can't store")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Poison(f"header {name.decode()} is not UTF-8") from error


def _handed_on(headers: _Headers, name: bytes) -> str | None:
    if name not in headers:
        return None
    if len(headers[name]) > _HANDED_ON:
        raise Poison(f"header {name.decode()} is longer than {_HANDED_ON} bytes")
    return _text(headers, name)


def _check_length(key: bytes) -> None:
    if len(key) > KEY_LIMIT:
        raise Poison(f"the key is longer than {KEY_LIMIT} bytes")


def _uuid(headers: _Headers, name: bytes) -> UUID:
    text = _text(headers, name)
    try:
        return UUID(text)
    except ValueError as error:
        raise Poison(f"header {name.decode()} is not a UUID") from error


def _taken(
    record: Record, headers: _Headers, event_type: type[Event], now: datetime
) -> Taken | TooOld:
    _check_source(record, headers)
    event_id = _uuid(headers, b"ce_id")
    if not inbox.check_id(event_id, now):
        return TooOld(record, event_type.type_name())
    if not record.key or record.value is None:
        raise Poison("an event needs a key and a value")
    _check_length(record.key)
    digest = inbox.digest_of(record.value)
    try:
        event = avro.decode(record.value, event_type)
    except UnknownSchema as skew:
        return Taken(record, event_id, None, skew, digest)
    if event.key().encode() != record.key:
        raise Poison(f"the key is not the event's {event_type.KEY}")
    return Taken(record, event_id, _received(record, headers, event_id, event), None, digest)


def _received(record: Record, headers: _Headers, event_id: UUID, event: Event) -> Received:
    return Received(
        event=event,
        event_id=event_id,
        key=record.key or b"",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        occurred_at=_time(headers),
        correlation_id=_handed_on(headers, b"ce_correlationid") or str(event_id),
        causation_id=_uuid(headers, b"ce_causationid") if b"ce_causationid" in headers else None,
        traceparent=_handed_on(headers, b"traceparent"),
    )


def _time(headers: _Headers) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(headers, b"ce_time"))
    except ValueError as error:
        raise Poison("header ce_time is not RFC 3339") from error
    if moment.tzinfo is None:
        raise Poison("header ce_time has no zone")
    return moment


def _check_source(record: Record, headers: _Headers) -> None:
    """Believe only the one producer that the topic has: a topic is input like any other."""
    try:
        b" ".join(headers).decode()
    except UnicodeDecodeError as error:
        raise Poison("a header's name is not UTF-8") from error
    if headers.get(b"ce_source") != b"/" + avro.source_of(record.topic).encode():
        raise Poison("ce_source is not this topic's producer")


def _stated(
    record: Record, headers: _Headers, event_type: type[Event], type_name: str
) -> Stated | Ignored:
    if type_name != event_type.type_name():
        return Ignored(record)
    _check_source(record, headers)
    if not record.key:
        raise Poison("a state record needs a key")
    _check_length(record.key)
    version = _text(headers, b"ce_version")
    if not version.isascii() or not version.isdigit() or len(version) > 18:  # noqa: PLR2004  fits a bigint
        raise Poison("header ce_version is not a counter")
    event_id = _uuid(headers, b"ce_id")
    try:
        key = record.key.decode()
        if "\x00" in key:
            raise Poison("the key has a NUL, which PostgreSQL can't store")
        event = avro.decode(record.value, event_type) if record.value is not None else None
    except UnicodeDecodeError as error:
        raise Poison("the key is not UTF-8") from error
    except UnknownSchema as skew:
        return Stated(record, event_type, None, int(version), skew)
    if event is not None and event.key() != key:
        raise Poison(f"the key is not the event's {event_type.KEY}")
    return Stated(record, event_type, StateRecord(key, int(version), event, event_id), int(version))
