"""Each service's own reading of an event in messages.py agrees with schemas/."""

from __future__ import annotations

import importlib
import inspect
import json
import struct
import typing
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from common import avro
from common.message import Event
from pydantic import BaseModel

SCHEMAS = Path(__file__).parents[2] / "schemas"
SERVICES = ("order-service", "inventory-service", "payment-service", "notification-service")

Json = dict[str, Any]
Topics = dict[str, Json]


def events_of(service: str) -> list[type[Event]]:
    messages = importlib.import_module(f"{service.replace('-', '_')}.messages")
    return [
        found
        for name, found in inspect.getmembers(messages, inspect.isclass)
        if issubclass(found, Event) and found is not Event and not name.startswith("_")
    ]


READINGS = [(service, event) for service in SERVICES for event in events_of(service)]
READING_IDS = [f"{service}-{event.__name__}" for service, event in READINGS]
SAID = {
    f"{service}-{event.__name__}": event
    for service, event in READINGS
    if avro.source_of(event.TOPIC) == service
}
every_reading = pytest.mark.parametrize(("service", "event"), READINGS, ids=READING_IDS)


def schema_of(event: type[Event]) -> Json:
    schema: Json = json.loads((SCHEMAS / event.TOPIC / f"{event.__name__}.avsc").read_text())
    return schema


def example_of(event: type[Event]) -> str:
    return (SCHEMAS / "examples" / f"{event.__name__}.json").read_text()


def golden_frame(event: type[Event], ids: dict[str, int]) -> bytes:
    """Build the bytes that the released version's example has on the wire."""
    schema_id = ids[f"{event.TOPIC}/{event.__name__}"]
    released = json.loads((SCHEMAS / "released" / f"{event.TOPIC}.json").read_text())
    version = next(v for v in released[event.__name__] if v["id"] == schema_id)
    return struct.pack(">bI", 0, schema_id) + bytes.fromhex(version["golden"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_knows_events(service: str) -> None:
    assert events_of(service)


@every_reading
def test_a_service_speaks_or_hears_where_topics_yaml_says_so(
    service: str, event: type[Event], topics: Topics
) -> None:
    topic = topics[event.TOPIC]

    assert service == topic["producer"] or service in topic["consumers"]


@every_reading
def test_every_field_is_in_the_schema_with_the_same_type(service: str, event: type[Event]) -> None:
    schema = schema_of(event)

    assert list(differences(event, schema, named_types(schema))) == [], service


@pytest.mark.parametrize("event", SAID.values(), ids=SAID.keys())
def test_what_a_service_says_carries_every_field(event: type[Event], ids: dict[str, int]) -> None:
    said = avro.encode(event.model_validate_json(example_of(event)))

    assert said == golden_frame(event, ids)


@every_reading
def test_what_a_service_reads_off_the_wire_is_what_the_example_says(
    service: str, event: type[Event], ids: dict[str, int]
) -> None:
    heard = avro.decode(golden_frame(event, ids), event)

    assert heard == event.model_validate_json(example_of(event)), service


@every_reading
def test_the_key_is_the_field_that_topics_yaml_names(
    service: str, event: type[Event], topics: Topics
) -> None:
    example = json.loads(example_of(event))

    key = event.model_validate_json(json.dumps(example)).key()

    assert key == example[topics[event.TOPIC]["key"]], service


class Wrong:
    """Readings of StockReleased that must not pass for it."""

    class UnknownField(BaseModel):
        amount: int

    class AnotherType(BaseModel):
        order_id: str

    class NeverNull(BaseModel):
        refund_id: UUID

    class NullToo(BaseModel):
        closing: bool | None

    class WrongInside(BaseModel):
        class Line(BaseModel):
            sku: int

        lines: tuple[Line, ...]


@pytest.mark.parametrize(
    "reading",
    [Wrong.UnknownField, Wrong.AnotherType, Wrong.NeverNull, Wrong.NullToo, Wrong.WrongInside],
)
def test_a_wrong_reading_is_noticed(reading: type[BaseModel]) -> None:
    schema = json.loads((SCHEMAS / "inventory.v1" / "StockReleased.avsc").read_text())

    assert len(list(differences(reading, schema, named_types(schema)))) == 1


SCALARS: dict[object, tuple[Json, ...]] = {
    UUID: ({"type": "string", "logicalType": "uuid"},),
    datetime: ({"type": "long", "logicalType": "timestamp-micros"},),
    int: ({"type": "int"}, {"type": "long"}),
    str: ({"type": "string"},),
    bool: ({"type": "boolean"},),
}
"""How each plain type of Python may be declared in Avro."""


def differences(reading: type[BaseModel], record: Json, named: Json) -> Iterator[str]:
    declared = {field["name"]: field["type"] for field in record["fields"]}
    for name, field in reading.model_fields.items():
        if name not in declared:
            yield f"{name} is not in the schema"
        elif not agree(field.annotation, declared[name], named):
            yield f"{name} is {field.annotation}, the schema says {declared[name]}"


def agree(annotation: object, avro_type: object, named: Json) -> bool:
    """Tell whether a type of Python reads every value of the Avro type, and no other."""
    plain = without_alias(annotation)
    if isinstance(avro_type, list):
        return agree_on_optional(plain, avro_type, named)
    if isinstance(avro_type, str):
        return agree_on_declared(plain, named.get(avro_type, {"type": avro_type}), named)
    assert isinstance(avro_type, dict)
    return agree_on_declared(plain, avro_type, named)


def agree_on_declared(plain: object, declared: Json, named: Json) -> bool:
    if declared["type"] == "array":
        is_sequence = typing.get_origin(plain) in (tuple, list)
        return is_sequence and agree(typing.get_args(plain)[0], declared["items"], named)
    if declared["type"] == "record":
        if not (isinstance(plain, type) and issubclass(plain, BaseModel)):
            return False
        return not list(differences(plain, declared, named))
    if declared["type"] == "enum":
        return set(values_of(plain)) == set(declared["symbols"])
    if values_of(plain):
        return declared == {"type": "string"}
    return declared in SCALARS.get(plain, ())


def agree_on_optional(plain: object, union: list[object], named: Json) -> bool:
    parts = typing.get_args(plain)
    if type(None) not in parts or len(parts) != len(union):
        return False
    given = next(part for part in parts if part is not type(None))
    return agree(given, union[1], named)


def without_alias(annotation: object) -> object:
    """Look through Annotated and NewType at the type that they name."""
    if typing.get_origin(annotation) is typing.Annotated:
        return without_alias(typing.get_args(annotation)[0])
    if isinstance(annotation, typing.NewType):
        return without_alias(annotation.__supertype__)
    return annotation


def values_of(annotation: object) -> list[str]:
    """List the texts that a Literal or an enum admits."""
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [member.value for member in annotation]
    return []


def named_types(schema: Json) -> Json:
    """Collect the records and enums of a schema under their full names."""
    found: Json = {}

    def visit(part: object, namespace: str) -> None:
        if isinstance(part, list):
            for one in part:
                visit(one, namespace)
        elif isinstance(part, dict):
            namespace = part.get("namespace", namespace)
            if part.get("type") in ("record", "enum"):
                found[f"{namespace}.{part['name']}"] = part
            for one in part.values():
                visit(one, namespace)

    visit(schema, "")
    return found
