"""The schemas keep their own conventions, and their examples are valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro
import fastavro.validation
import pytest

SCHEMAS = Path(__file__).parents[2] / "schemas"
FILES = sorted(SCHEMAS.glob("*/*.avsc"))
NAMES = [path.stem for path in FILES]

Json = dict[str, Any]


def read(path: Path) -> Json:
    found: Json = json.loads(path.read_text())
    return found


def example_of(event: str) -> Json:
    return read(SCHEMAS / "examples" / f"{event}.json")


def named_types(schema: Any) -> Iterator[Json]:
    """Walk a schema and give every record and enum that is defined in it."""
    if isinstance(schema, list):
        for part in schema:
            yield from named_types(part)
    elif isinstance(schema, dict):
        if schema.get("type") in ("record", "enum"):
            yield schema
        for part in schema.values():
            yield from named_types(part)


def fields_of(schema: Json) -> Iterator[Json]:
    for named in named_types(schema):
        yield from named.get("fields", [])


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_record_is_named_for_its_event_and_its_topic(path: Path) -> None:
    schema = read(path)

    topic = path.parent.name
    assert schema["name"] == path.stem
    assert schema["namespace"] == f"pedido.{topic.removesuffix('.v1')}"


def test_an_event_has_one_name_over_all_topics() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_every_schema_has_its_own_id_and_every_id_its_schema(ids: dict[str, int]) -> None:
    assert set(ids) == {f"{path.parent.name}/{path.stem}" for path in FILES}
    assert len(set(ids.values())) == len(ids)


def test_every_event_has_an_example_and_every_example_an_event() -> None:
    assert {path.stem for path in (SCHEMAS / "examples").iterdir()} == set(NAMES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_an_example_is_valid_and_says_nothing_more(path: Path) -> None:
    document = example_of(path.stem)
    if "deadline_at" in document:
        document["deadline_at"] = datetime.fromisoformat(document["deadline_at"])

    fastavro.validation.validate(document, fastavro.parse_schema(read(path)), strict=True)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_names_are_in_snake_case(path: Path) -> None:
    for field in fields_of(read(path)):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", field["name"])


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_times_are_microseconds_and_only_they_end_in_at(path: Path) -> None:
    for field in fields_of(read(path)):
        is_time = field["type"] == {"type": "long", "logicalType": "timestamp-micros"}
        assert field["name"].endswith("_at") == is_time


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_our_ids_are_uuids(path: Path) -> None:
    uuid = {"type": "string", "logicalType": "uuid"}

    for field in fields_of(read(path)):
        if field["name"] in ("order_id", "customer_id", "payment_id", "refund_id"):
            assert field["type"] in (uuid, ["null", uuid])


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_money_is_the_same_record_everywhere(path: Path) -> None:
    money = next(named_types(read(SCHEMAS / "catalog.v1" / "ProductChanged.avsc")["fields"]))

    assert money["name"] == "Money"
    for named in named_types(read(path)):
        if named["name"] == "Money":
            assert named == money


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_an_enum_has_a_default_symbol(path: Path) -> None:
    for named in named_types(read(path)):
        if named["type"] == "enum":
            assert named["default"] in named["symbols"]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_field_that_may_be_null_is_null_by_default(path: Path) -> None:
    for field in fields_of(read(path)):
        if isinstance(field["type"], list):
            assert field["type"][0] == "null"
            assert field["default"] is None


def test_only_customers_carry_personal_data() -> None:
    personal = {"email", "first_name", "last_name", "address", "phone", "card"}

    for path in FILES:
        if path.parent.name != "customers.v1":
            assert not {field["name"] for field in fields_of(read(path))} & personal
