"""Records that no producer of ours would send, each with what must become of it."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any
from uuid import UUID

from common import avro
from common.errors import Poison
from common.message import uuid7
from invariants.decides import HEARD, STATE_TOPICS

STATES = {
    "catalog.v1": ("ProductChanged", "sku"),
    "customers.v1": ("CustomerChanged", "customer_id"),
}
"""State topic → its one type, and the field that is its key."""
TOPICS = tuple(sorted({topic for heard in HEARD.values() for topic in heard} | set(STATES)))
UNKNOWN_SCHEMA = 0x7FFFFFFF
MEGABYTE = 1_000_000
EDGES = (0, -1, 1, 2**31 - 1, -(2**31), 2**62)
WORDS = ("", " ", "\x00", "a" * 5000, "\u202egnp.exe", "1e999", "'; DROP TABLE orders; --", "😀")
HUGE = 2**40
IMPOSSIBLE = 0.004
"""So few that decisions which fail for orders that nobody placed don't look like a bad deploy."""


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """A record, and who must do what with it."""

    topic: str
    type_name: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    kind: str = "good"
    poison: frozenset[str] = field(default=frozenset())
    """The groups that must set it aside, each with one dead letter."""
    skewed: frozenset[str] = field(default=frozenset())
    """The groups that must wait for its schema."""
    readable: bool = False
    """Handled, stale or parked: whatever the service decides."""

    def saying(self, name: str, value: bytes) -> Fuzzed:
        """Say something else in a header."""
        return replace(self, headers={**self.headers, name: value})

    def silent(self, name: str) -> Fuzzed:
        """Leave a header out."""
        return replace(self, headers={k: v for k, v in self.headers.items() if k != name})


def subscribers(topic: str) -> frozenset[str]:
    """Name the groups that read a topic."""
    return frozenset(
        group for group in HEARD if topic in HEARD[group] or topic in STATE_TOPICS.get(group, ())
    )


def deciders(topic: str, type_name: str) -> frozenset[str]:
    """Name the groups that decide on a type."""
    if topic in STATES:
        return subscribers(topic) if STATES[topic][0] == type_name else frozenset()
    return frozenset(group for group in HEARD if type_name in HEARD[group].get(topic, ()))


Spoil = Callable[[random.Random, Fuzzed], Fuzzed]


def _value(make: Callable[[random.Random, bytes], bytes | None]) -> Spoil:
    return lambda chance, good: replace(good, value=make(chance, good.value or b""))


def _key(make: Callable[[random.Random, bytes], bytes | None]) -> Spoil:
    return lambda chance, good: replace(good, key=make(chance, good.key or b""))


def _says(name: str, *values: bytes) -> Spoil:
    return lambda chance, good: good.saying(name, chance.choice(values))


def _noise(chance: random.Random, size: int) -> bytes:
    """Make bytes that are no frame: a frame begins with 0."""
    return b"\x01" + chance.randbytes(size)


def _varint(number: int) -> bytes:
    """Write a long as Avro does: zigzag, seven bits a byte."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


_long_text = _value(lambda _, value: value[:5] + _varint(HUGE) + value[5:])


def _bomb(chance: random.Random, good: Fuzzed) -> Fuzzed:
    """Claim a block of more lines than there are bytes in the world; without lines, a long text."""
    example = _example(good.type_name) | {"order_id": (good.key or b"").decode()}
    if "lines" not in example:
        return _long_text(chance, good)
    none = avro.compose(good.topic, good.type_name, example | {"lines": []}, old=None)
    alike = (a == b for a, b in zip(none, good.value or b"", strict=False))
    begin = none[: sum(takewhile(bool, alike))]
    blocks = (_varint(HUGE), _varint(-HUGE) + _varint(HUGE), _varint(-HUGE) + _varint(0))
    return replace(good, value=begin + chance.choice(blocks) + (good.value or b"")[len(begin) :])


UNREADABLE: Mapping[str, Spoil] = {
    "random bytes": _value(lambda chance, _: _noise(chance, chance.randrange(300))),
    "1 MB": _value(lambda chance, _: _noise(chance, MEGABYTE)),
    "no bytes": _value(lambda _, __: b""),
    "a truncated frame": _value(lambda chance, value: value[: chance.randrange(len(value))]),
    "more after the frame": _value(lambda chance, value: value + chance.randbytes(3)),
    "another event's schema": _value(lambda _, value: struct.pack(">bI", 0, 4003) + value[5:]),
    "a text of a terabyte": _long_text,
    "another key": _key(lambda chance, _: str(UUID(int=chance.getrandbits(128))).encode()),
    "a key that is not UTF-8": _key(lambda chance, _: b"\xff" + chance.randbytes(9)),
    "an empty key": _key(lambda _, __: b""),
    "another producer": _says("ce_source", b"", b"/", b"/somebody-else", b"\xff\xfe"),
    "a bad id": _says("ce_id", b"", b"7", b"\xff", b"g" * 36),
}
"""What everybody who decides on the type sets aside, on event and state topics alike."""

UNREADABLE_EVENT: Mapping[str, Spoil] = {
    "no value": _value(lambda _, __: None),
    "no key": _key(lambda _, __: None),
    "an id without a time": _says("ce_id", b"3f2b8f6e-5b64-4e0a-9d0b-0a8a4a3f0b11"),
    "an id from the future": _says("ce_id", b"ffffffff-ffff-7000-8000-000000000000"),
    "a bad time": _says("ce_time", b"", b"yesterday", b"2026-01-01T00:00:00", b"\xff"),
    "a bad cause": _says("ce_causationid", b"", b"x"),
    "a bad trace": _says("traceparent", b"\xff\xff", b"\x00"),
    "a bad correlation": _says("ce_correlationid", b"", b"\xff", b"a\x00b"),
    "a block of a terabyte": _bomb,
}
UNREADABLE_STATE: Mapping[str, Spoil] = {
    "a bad version": _says("ce_version", b"", b"-1", b"1.0", b"9" * 40, "٣".encode()),
    "a tombstone of a key with a NUL": lambda _, good: replace(good, key=b"a\x00b", value=None),
}
UNTYPED: Mapping[str, Spoil] = {
    "no type": lambda _, good: good.silent("ce_type"),
    "a type that is not UTF-8": _says("ce_type", b"\xff\xfe", b"\xc0\x80", b"\x00"),
}
"""What nobody can tell the type of, so every reader of the topic sets it aside."""
FOREIGN: Mapping[str, Spoil] = {
    "an unknown type": _says("ce_type", b"OrderEaten", b"orderplaced", b"x" * 9000),
    "a type of another topic": _says("ce_type", b"NotificationSent"),
}
"""What nobody decides on."""
OUTDATED: Mapping[str, Spoil] = {
    "an id from before the inbox": _says("ce_id", b"016f5e66-e800-7000-8000-000000000000"),
}
SKEWED: Mapping[str, Spoil] = {
    "an unknown schema": _value(lambda _, v: struct.pack(">bI", 0, UNKNOWN_SCHEMA) + v[5:]),
}


def fuzzed(seed: int, count: int) -> Iterator[Fuzzed]:
    """Make records, the same ones for the same seed but for ids and times."""
    chance = random.Random(seed)  # noqa: S311  a test's own
    for _ in range(count):
        topic = chance.choice(TOPICS)
        yield _spoilt(chance, _good(chance, topic))


def _spoilt(chance: random.Random, good: Fuzzed) -> Fuzzed:
    own = deciders(good.topic, good.type_name)
    dice = chance.random()
    if dice < IMPOSSIBLE:
        return _impossible(chance, good)
    if dice < 0.03:
        return replace(_spoil(chance, good, SKEWED), skewed=own)
    if dice < 0.15:
        return replace(_spoil(chance, good, UNTYPED), poison=subscribers(good.topic))
    if dice < 0.25:
        return _spoil(chance, good, FOREIGN)
    if dice < 0.3 and good.topic not in STATES:
        return _spoil(chance, good, OUTDATED)
    more = UNREADABLE_STATE if good.topic in STATES else UNREADABLE_EVENT
    return replace(_spoil(chance, good, {**UNREADABLE, **more}), poison=own)


def _spoil(chance: random.Random, good: Fuzzed, ways: Mapping[str, Spoil]) -> Fuzzed:
    kind = chance.choice(list(ways))
    if kind == "1 MB" and chance.random() > 0.05:
        kind = "random bytes"
    return replace(ways[kind](chance, good), kind=kind)


def _good(chance: random.Random, topic: str) -> Fuzzed:
    types = sorted(name for where, name in avro.contract().ids if where == topic)
    type_name = chance.choice(types)
    key_field = STATES[topic][1] if topic in STATES else "order_id"
    key = f"FUZZ{chance.getrandbits(60)}" if key_field == "sku" else str(uuid7())
    headers = {
        "ce_id": str(uuid7()),
        "ce_type": type_name,
        "ce_source": f"/{avro.source_of(topic)}",
        "ce_time": datetime.now(UTC).isoformat(),
    }
    if topic in STATES:
        headers["ce_version"] = str(chance.randrange(1, 100))
    value = avro.compose(topic, type_name, _example(type_name) | {key_field: key}, old=None)
    sent = {name: text.encode() for name, text in headers.items()}
    return Fuzzed(topic, type_name, key.encode(), value, sent)


def _example(type_name: str) -> dict[str, Any]:
    path = avro.schemas_dir() / "examples" / f"{type_name}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _impossible(chance: random.Random, good: Fuzzed) -> Fuzzed:
    """Say what the schema allows and no shop does: of an order that nobody placed."""
    members = _example(good.type_name)
    key = STATES[good.topic][1] if good.topic in STATES else "order_id"
    members[key] = (good.key or b"").decode()
    spoilt = {
        name: value if name == key else _wild(chance, value) for name, value in members.items()
    }
    try:
        value = avro.compose(good.topic, good.type_name, spoilt, old=None)
    except (Poison, ValueError, OverflowError):  # no enumeration, id or time has such a value
        value = good.value or b""
    return replace(good, value=value, kind="impossible values", readable=True)


def _wild(chance: random.Random, value: Any) -> Any:
    if isinstance(value, list):
        return [_wild(chance, each) for each in value] * chance.choice((0, 1, 1, 30))
    if isinstance(value, dict):
        return {name: _wild(chance, each) for name, each in value.items()}
    if chance.random() < 0.5:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return chance.choice(EDGES)
    return chance.choice(WORDS) if isinstance(value, str) else value
