#!/usr/bin/env python3
"""Keeps released/, the lock file of all schema versions ever released, and refuses what breaks one.

A version is added, never changed: its id, its fingerprint, its schema and the golden bytes of its
example. Events of an old version stay in the topics for days and in dead letters for weeks.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.io import BinaryEncoder, DatumWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMAS = Path(__file__).parent

Json = dict[str, Any]


def current(schemas: Path = SCHEMAS) -> dict[str, Json]:
    """Read every schema as it is now, as the version it would be released as."""
    ids: dict[str, int] = json.loads((schemas / "ids.json").read_text())
    return {name: _version(schemas, name, schema_id) for name, schema_id in ids.items()}


def released(schemas: Path = SCHEMAS) -> dict[str, list[Json]]:
    """Read every released version, oldest first."""
    return {
        f"{path.stem}/{event}": versions
        for path in sorted((schemas / "released").glob("*.json"))
        for event, versions in json.loads(path.read_text()).items()
    }


def problems(schemas: Path = SCHEMAS) -> Iterator[str]:
    """Tell what is wrong with the current schemas, measured by all that was released."""
    now, before = current(schemas), released(schemas)
    owners = {version["id"]: name for name, old in before.items() for version in old}
    for name in before.keys() - now.keys():
        yield f"{name} was released and is gone"
    for name, version in now.items():
        if owners.get(version["id"], name) != name:
            yield f"{name}: id {version['id']} belongs to {owners[version['id']]}"
        for old in before.get(name, []):
            yield from (f"{name}: {problem}" for problem in _conflicts(version, old))


def unreleased(schemas: Path = SCHEMAS) -> list[str]:
    """Name the schemas whose current form is not in the lock file."""
    before = released(schemas)
    return [
        name
        for name, version in current(schemas).items()
        if version["id"] not in {old["id"] for old in before.get(name, [])}
    ]


def fingerprint(schema: Json) -> str:
    """Hash all of a schema that a reader or writer can notice: everything but its comments."""
    text = json.dumps(_without_comments(schema), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def encode(schema: Json, document: Json) -> bytes:
    """Write a document with Avro's own library, which the services do not use."""
    buffer = io.BytesIO()
    parsed = avro.schema.make_avsc_object(schema)
    DatumWriter(parsed).write(_with_times(document), BinaryEncoder(buffer))
    return buffer.getvalue()


def _version(schemas: Path, name: str, schema_id: int) -> Json:
    schema = json.loads((schemas / f"{name}.avsc").read_text())
    example = json.loads((schemas / "examples" / f"{schema['name']}.json").read_text())
    return {
        "id": schema_id,
        "fingerprint": fingerprint(schema),
        "schema": _without_comments(schema),
        "example": example,
        "golden": encode(schema, example).hex(),
    }


def _conflicts(version: Json, old: Json) -> Iterator[str]:
    checker = cast("Callable[[], Any]", ReaderWriterCompatibilityChecker)()  # it has no types
    if version["id"] == old["id"] and version["fingerprint"] != old["fingerprint"]:
        yield f"changed, and still has the id {old['id']}"
    for direction, reader, writer in (
        ("can't read", version, old),
        ("can't be read by", old, version),
    ):
        result = checker.get_compatibility(
            reader=avro.schema.make_avsc_object(reader["schema"]),
            writer=avro.schema.make_avsc_object(writer["schema"]),
        )
        if result.compatibility is not SchemaCompatibilityType.compatible:
            reasons = ", ".join(sorted(result.messages))
            yield f"{direction} the version with id {old['id']}: {reasons}"


def _without_comments(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_comments(part) for key, part in schema.items() if key != "doc"}
    if isinstance(schema, list):
        return [_without_comments(part) for part in schema]
    return schema


def _with_times(document: Json) -> Json:
    """Turn the texts of the times, which an example holds by their names, into times."""
    return {
        key: datetime.fromisoformat(value) if key.endswith("_at") else value
        for key, value in document.items()
    }


def _write(schemas: Path) -> None:
    versions = released(schemas)
    for name, version in current(schemas).items():
        if version["id"] not in {old["id"] for old in versions.get(name, [])}:
            versions.setdefault(name, []).append(version)
    topics: dict[str, dict[str, list[Json]]] = {}
    for name, history in versions.items():
        topic, event = name.split("/")
        topics.setdefault(topic, {})[event] = history
    (schemas / "released").mkdir(exist_ok=True)
    for topic, events in topics.items():
        (schemas / "released" / f"{topic}.json").write_text(_one_version_a_line(events))


def _one_version_a_line(events: dict[str, list[Json]]) -> str:
    parts = []
    for event, history in events.items():
        lines = ",\n".join(json.dumps(version, separators=(",", ":")) for version in history)
        parts.append(f"{json.dumps(event)}: [\n{lines}\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    """Add the current schemas to the lock file, or with --check tell whether that is needed."""
    parser = argparse.ArgumentParser(description="Release the schemas as they are now.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if one is new")
    parser.add_argument("--schemas", type=Path, default=SCHEMAS)
    given = parser.parse_args()
    wrong = list(problems(given.schemas))
    if given.check:
        wrong += [f"{name} is not released yet" for name in unreleased(given.schemas)]
    if wrong:
        sys.stderr.write("".join(f"schemas: {line}\n" for line in wrong))
        return 1
    if not given.check:
        _write(given.schemas)
    return 0


if __name__ == "__main__":
    sys.exit(main())
