"""Event ⇄ bytes in Confluent's wire format, by the schemas and fixed ids in schemas/."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import fastavro
import yaml
from asyncpg.pgproto.pgproto import UUID  # a uuid.UUID, made in C
from fastavro.read import LOGICAL_READERS
from fastavro.types import Schema
from pydantic import ValidationError

from common.errors import Poison, UnknownSchema
from common.message import Event

E = TypeVar("E", bound=Event)

_HEADER = struct.Struct(">bI")
_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""What fastavro raises on what is not the schema's, either way; it has no error of its own."""
_MAX_PAYLOAD_BYTES = 1024 * 1024
"""The broker's own default for a record; read before any count in it is believed."""

LOGICAL_READERS["string-uuid"] = lambda text, *_: UUID(text)  # in C: a ninth of the time


@dataclass(frozen=True, slots=True)
class Contract:
    """The files of schemas/, parsed once."""

    by_id: dict[int, tuple[str, Schema]]
    """Every version ever released, too: a topic keeps old records long after a roll-out."""
    ids: dict[tuple[str, str], int]
    """The version that is written now, by topic and type."""
    topics: dict[str, dict[str, Any]]


def schemas_dir() -> Path:
    """Find schemas/: SCHEMAS_DIR if set, else beside this checkout's own libs/."""
    if given := os.environ.get("SCHEMAS_DIR"):
        return Path(given)
    for parent in Path(__file__).parents:
        if (parent / "schemas" / "ids.json").is_file():
            return parent / "schemas"
    message = "no schemas/ folder above the code: set SCHEMAS_DIR to the folder with ids.json"
    raise FileNotFoundError(message)


@cache
def contract() -> Contract:
    """Read schemas/ on first use; it does not change while a process runs."""
    root = schemas_dir()
    by_id: dict[int, tuple[str, Schema]] = {}
    ids: dict[tuple[str, str], int] = {}
    for file in sorted((root / "released").glob("*.json")):
        for type_name, versions in json.loads(file.read_text()).items():
            for version in versions:
                by_id[version["id"]] = (type_name, fastavro.parse_schema(version["schema"]))
    for name, schema_id in json.loads((root / "ids.json").read_text()).items():
        topic, type_name = name.split("/")
        schema = fastavro.parse_schema(json.loads((root / f"{name}.avsc").read_text()))
        by_id[schema_id] = (type_name, schema)
        ids[topic, type_name] = schema_id
    return Contract(by_id, ids, yaml.safe_load((root / "topics.yaml").read_text())["topics"])


def source_of(topic: str) -> str:
    """Name the one service that says the events of a topic."""
    return str(contract().topics[topic]["producer"])


def schema_id(event: Event) -> int:
    """Look up the fixed id of an event's schema."""
    return contract().ids[event.TOPIC, event.type_name()]


def encode(event: Event) -> bytes:
    """Frame an event: magic byte, schema id, Avro body."""
    own_id = schema_id(event)
    buffer = io.BytesIO()
    buffer.write(_HEADER.pack(0, own_id))
    record = event.__pydantic_serializer__.to_python(event)  # less than model_dump adds to it
    fastavro.schemaless_writer(buffer, contract().by_id[own_id][1], record)
    return buffer.getvalue()


def decode(payload: bytes, event_type: type[E]) -> E:
    """Read a frame as the event that this service knows under that name.

    Raises UnknownSchema for an id that is newer than this process, Poison for the rest.
    """
    claimed, type_name, schema = _framed(payload)
    if type_name != event_type.type_name():
        raise Poison(f"schema id {claimed} is {type_name}, not {event_type.type_name()}")
    current = contract().ids[event_type.TOPIC, type_name]
    # Only an old version needs to be resolved: that takes longer.
    wanted = None if claimed == current else contract().by_id[current][1]
    return _read(payload, schema, wanted, event_type)


def describe(payload: bytes) -> tuple[str, int, dict[str, Any]]:
    """Read any frame of the contract as plain values: for people, whatever this service knows.

    Raises UnknownSchema or Poison for what is no such frame.
    """
    claimed, type_name, schema = _framed(payload)
    buffer = io.BytesIO(payload[_HEADER.size :])
    try:
        record = fastavro.schemaless_reader(buffer, schema, None)
    except _UNREADABLE as error:
        raise Poison(f"not the Avro of {type_name}: {type(error).__name__}") from error
    if not isinstance(record, dict) or buffer.read(1):
        raise Poison(f"not just the Avro of {type_name}")
    return type_name, claimed, record


def compose(topic: str, type_name: str, members: Mapping[str, Any], *, old: bytes | None) -> bytes:
    """Frame an event of the newest schema from JSON values over those of an older frame, if any.

    Raises Poison for what does not fit the schema.
    """
    schema_id = contract().ids.get((topic, type_name))
    if schema_id is None:
        raise Poison("the topic has no such type")
    schema: Any = contract().by_id[schema_id][1]
    try:
        before = describe(old)[2] if old is not None else {}
    except (Poison, UnknownSchema):
        before = {}
    known = {field["name"]: field["type"] for field in schema["fields"]}
    if unknown := sorted(members.keys() - known.keys()):
        raise Poison(f"{type_name} has no {', '.join(unknown)}")
    buffer = io.BytesIO()
    buffer.write(_HEADER.pack(0, schema_id))
    try:
        given = {name: _from_json(known[name], value) for name, value in members.items()}
        fastavro.schemaless_writer(buffer, schema, before | given, strict_allow_default=True)
    except _UNREADABLE as error:
        raise Poison(f"not a {type_name}: {error}") from error
    return buffer.getvalue()


def _from_json(schema: Schema, value: Any) -> Any:
    """Read what JSON has no type for: only a time; text is what Avro's writer takes a UUID as."""
    if isinstance(schema, list):
        other = next(each for each in schema if each != "null")
        return value if value is None else _from_json(other, value)
    if isinstance(schema, dict) and schema.get("logicalType", "").startswith("timestamp"):
        return datetime.fromisoformat(value)
    return value


def _framed(payload: bytes) -> tuple[int, str, Schema]:
    if len(payload) > _MAX_PAYLOAD_BYTES:
        raise Poison(f"payload of {len(payload)} bytes is over {_MAX_PAYLOAD_BYTES}")
    if len(payload) < _HEADER.size or payload[0] != 0:
        raise Poison("payload does not begin with a Confluent header")
    claimed = _HEADER.unpack_from(payload)[1]
    if claimed not in contract().by_id:
        raise UnknownSchema(f"schema id {claimed} is not in ids.json")
    return claimed, *contract().by_id[claimed]


def _read(payload: bytes, schema: Schema, wanted: Schema | None, event_type: type[E]) -> E:
    buffer = io.BytesIO(payload)
    buffer.seek(_HEADER.size)
    try:
        record = fastavro.schemaless_reader(buffer, schema, wanted)
    except _UNREADABLE as error:
        raise Poison(f"not the Avro of {event_type.type_name()}: {type(error).__name__}") from error
    if buffer.read(1):
        raise Poison(f"bytes are left behind the Avro of {event_type.type_name()}")
    if b"\x00" in payload[_HEADER.size :] and _holds_nul(record):
        raise Poison(f"a text of {event_type.type_name()} has a NUL, which PostgreSQL can't store")
    try:
        event: E = event_type.__pydantic_validator__.validate_python(record)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise Poison(f"impossible values in {event_type.type_name()}: {fields}") from error
    return event


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(map(_holds_nul, value.values()))
    return isinstance(value, list) and any(map(_holds_nul, value))
