"""Every version reads every other, in both directions; what would break that is refused."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import fastavro
import pytest

SCHEMAS = Path(__file__).parents[2] / "schemas"
VERSIONS = [
    (f"{path.stem}/{event}", version)
    for path in sorted((SCHEMAS / "released").glob("*.json"))
    for event, versions in json.loads(path.read_text()).items()
    for version in versions
]
VERSION_IDS = [f"{name.split('/')[1]}-{version['id']}" for name, version in VERSIONS]

Json = dict[str, Any]
Change = Callable[[Path], None]


def test_the_schemas_agree_with_all_that_was_released(release: ModuleType) -> None:
    assert list(release.problems()) == []


def test_the_schemas_are_released(release: ModuleType) -> None:
    assert release.unreleased() == []


@pytest.mark.parametrize(("name", "version"), VERSIONS, ids=VERSION_IDS)
def test_a_released_version_is_untouched(name: str, version: Json, release: ModuleType) -> None:
    assert version["fingerprint"] == release.fingerprint(version["schema"])
    assert version["golden"] == release.encode(version["schema"], version["example"]).hex(), name


@pytest.mark.parametrize(("name", "version"), VERSIONS, ids=VERSION_IDS)
def test_golden_bytes_are_read_by_the_current_schema(name: str, version: Json) -> None:
    current = json.loads((SCHEMAS / f"{name}.avsc").read_text())

    record = read(bytes.fromhex(version["golden"]), writer=version["schema"], reader=current)

    assert shared(record, version["example"]) == shared(version["example"], record)


@pytest.mark.parametrize(("name", "version"), VERSIONS, ids=VERSION_IDS)
def test_bytes_of_the_current_schema_are_read_by_a_released_one(name: str, version: Json) -> None:
    event = name.split("/")[1]
    current = json.loads((SCHEMAS / f"{name}.avsc").read_text())
    example = json.loads((SCHEMAS / "examples" / f"{event}.json").read_text())
    written = write(example, current)

    record = read(written, writer=current, reader=version["schema"])

    assert shared(record, example) == shared(example, record)


def add_optional_field(schemas: Path) -> None:
    add_field(schemas, {"name": "channel", "type": ["null", "string"], "default": None})
    give_id(schemas, "orders.v1/OrderConfirmed", 1901)


def add_symbol(schemas: Path) -> None:
    path = schemas / "catalog.v1" / "ProductChanged.avsc"
    path.write_text(path.read_text().replace('"LOW", "SOME"]', '"LOW", "SOME", "PLENTY"]'))
    give_id(schemas, "catalog.v1/ProductChanged", 5901)


def change_comment(schemas: Path) -> None:
    edit(schemas, lambda schema: schema.update(doc="Said in other words."))


@pytest.mark.parametrize(
    "change",
    [add_optional_field, add_symbol, change_comment],
    ids=["an optional field", "an enum symbol", "a comment"],
)
def test_a_change_that_all_versions_can_read_is_allowed(
    change: Change, tmp_path: Path, release: ModuleType
) -> None:
    schemas = shutil.copytree(SCHEMAS, tmp_path / "schemas")

    change(schemas)

    assert list(release.problems(schemas)) == []


def forget_new_id(schemas: Path) -> None:
    add_field(schemas, {"name": "channel", "type": ["null", "string"], "default": None})


def add_required_field(schemas: Path) -> None:
    add_field(schemas, {"name": "channel", "type": "string"})
    edit_example(schemas, lambda example: example.update(channel="web"))
    give_id(schemas, "orders.v1/OrderConfirmed", 1901)


def remove_required_field(schemas: Path) -> None:
    edit(schemas, lambda schema: schema["fields"].pop())
    edit_example(schemas, lambda example: example.pop("customer_id"))
    give_id(schemas, "orders.v1/OrderConfirmed", 1901)


def change_type(schemas: Path) -> None:
    edit(schemas, lambda schema: schema["fields"][1].update(type="long"))
    edit_example(schemas, lambda example: example.update(customer_id=7))
    give_id(schemas, "orders.v1/OrderConfirmed", 1901)


def take_an_old_id(schemas: Path) -> None:
    add_optional_field(schemas)
    give_id(schemas, "orders.v1/OrderConfirmed", 2001)
    give_id(schemas, "inventory.v1/StockReserved", 2901)


def remove_event(schemas: Path) -> None:
    ids = json.loads((schemas / "ids.json").read_text())
    del ids["orders.v1/OrderConfirmed"]
    (schemas / "ids.json").write_text(json.dumps(ids))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (forget_new_id, "still has the id 1003"),
        (add_required_field, "can't read the version with id 1003"),
        (remove_required_field, "can't be read by the version with id 1003"),
        (change_type, "can't read the version with id 1003"),
        (take_an_old_id, "id 2001 belongs to inventory.v1/StockReserved"),
        (remove_event, "orders.v1/OrderConfirmed was released and is gone"),
    ],
    ids=[
        "the id kept",
        "a required field added",
        "a required field removed",
        "another type",
        "an id used before",
        "an event removed",
    ],
)
def test_a_change_that_breaks_a_version_is_refused(
    change: Change, problem: str, tmp_path: Path, release: ModuleType
) -> None:
    schemas = shutil.copytree(SCHEMAS, tmp_path / "schemas")

    change(schemas)

    assert any(problem in line for line in release.problems(schemas))


def edit(schemas: Path, change: Callable[[Json], object]) -> None:
    edit_json(schemas / "orders.v1" / "OrderConfirmed.avsc", change)


def edit_example(schemas: Path, change: Callable[[Json], object]) -> None:
    edit_json(schemas / "examples" / "OrderConfirmed.json", change)


def edit_json(path: Path, change: Callable[[Json], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def add_field(schemas: Path, field: Json) -> None:
    edit(schemas, lambda schema: schema["fields"].append(field))


def give_id(schemas: Path, name: str, schema_id: int) -> None:
    edit_json(schemas / "ids.json", lambda ids: ids.update({name: schema_id}))


def write(example: Json, schema: Json) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), with_times(example))
    return buffer.getvalue()


def read(body: bytes, *, writer: Json, reader: Json) -> Json:
    record = fastavro.schemaless_reader(
        io.BytesIO(body), fastavro.parse_schema(writer), fastavro.parse_schema(reader)
    )
    document: Json = json.loads(json.dumps(record, default=text_of))
    return document


def text_of(value: object) -> str:
    """Give a time or an id the form that it has in an example."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def with_times(document: Json) -> Json:
    return {
        key: datetime.fromisoformat(value) if key.endswith("_at") else value
        for key, value in document.items()
    }


def shared(document: Json, other: Json) -> Json:
    """Take the fields that both versions know."""
    return {key: value for key, value in document.items() if key in other}
