#!/usr/bin/env python3
"""Writes docs/asyncapi.yaml, the AsyncAPI 3 document of all topics, from the files beside it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).parent
DOCUMENT = SCHEMAS.parent / "docs" / "asyncapi.yaml"

Json = dict[str, Any]

HEADERS: Json = {
    "type": "object",
    "description": "CloudEvents 1.0 in binary mode, and where the event came from.",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "UUIDv7, handled once."},
        "ce_source": {"type": "string", "description": "The service that says the event."},
        "ce_type": {"type": "string", "description": "The event's name."},
        "ce_subject": {"type": "string", "description": "The record's key."},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_dataschema": {"type": "string"},
        "ce_correlationid": {"type": "string"},
        "ce_causationid": {"type": "string", "format": "uuid"},
        "ce_version": {"type": "string", "description": "State topics only: newer wins."},
        "traceparent": {"type": "string", "description": "W3C trace context."},
        "content-type": {"const": "application/avro"},
    },
}
DEAD_LETTER_HEADERS: Json = {
    "type": "object",
    "description": "The original's headers untouched, and what became of it.",
    "properties": {
        "kafka_dlt-original-topic": {"type": "string"},
        "kafka_dlt-original-partition": {"type": "string"},
        "kafka_dlt-original-offset": {"type": "string"},
        "kafka_dlt-original-timestamp": {"type": "string"},
        "kafka_dlt-original-consumer-group": {"type": "string"},
        "kafka_dlt-exception-fqcn": {"type": "string"},
        "kafka_dlt-exception-message": {"type": "string", "description": "Redacted."},
    },
}


def generate(schemas: Path = SCHEMAS) -> Json:
    """Describe every channel, operation and message."""
    topics: dict[str, Json] = yaml.safe_load((schemas / "topics.yaml").read_text())["topics"]
    events: dict[str, dict[str, int]] = {topic: {} for topic in topics}
    for name, schema_id in json.loads((schemas / "ids.json").read_text()).items():
        topic, event = name.split("/")
        events[topic][event] = schema_id
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pedido",
            "version": "1.0.0",
            "description": "Every event of the order saga, by topic. Values are Avro in Confluent's"
            " wire format; names and ids are fixed.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/avro",
        "channels": {topic: _channel(topic, topics[topic], events[topic]) for topic in topics},
        "operations": _operations(topics, events),
        "components": {
            "messages": {
                event: _message(schemas, f"{topic}/{event}", schema_id, topics[topic])
                for topic, ids in events.items()
                for event, schema_id in ids.items()
            }
            | {"DeadLetter": _dead_letter()},
            "schemas": {"headers": HEADERS, "deadLetterHeaders": DEAD_LETTER_HEADERS},
        },
    }


def _channel(topic: str, declared: Json, events: dict[str, int]) -> Json:
    config = declared["config"] | {"cleanup.policy": [declared["config"]["cleanup.policy"]]}
    return {
        "address": topic,
        "description": declared["description"],
        "messages": {
            event: {"$ref": f"#/components/messages/{event}"} for event in events or ["DeadLetter"]
        },
        "bindings": {
            "kafka": {
                "partitions": declared["partitions"],
                "topicConfiguration": config,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations(topics: dict[str, Json], events: dict[str, dict[str, int]]) -> Json:
    operations: Json = {}
    for topic, declared in topics.items():
        said = _operation("send", topic, events[topic])
        operations[f"{declared['producer']}-says-{topic}"] = said
        for group in declared["consumers"]:
            heard = _operation("receive", topic, events[topic])
            heard["bindings"] = {
                "kafka": {
                    "groupId": {"type": "string", "const": group},
                    "bindingVersion": "0.5.0",
                }
            }
            operations[f"{group}-hears-{topic}"] = heard
    return operations


def _operation(action: str, topic: str, events: dict[str, int]) -> Json:
    channel = f"#/channels/{topic}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{event}"} for event in events or ["DeadLetter"]],
    }


def _message(schemas: Path, name: str, schema_id: int, topic: Json) -> Json:
    schema = json.loads((schemas / f"{name}.avsc").read_text())
    event = schema["name"]
    example = json.loads((schemas / "examples" / f"{event}.json").read_text())
    return {
        "name": event,
        "summary": schema["doc"],
        "description": f"Schema id {schema_id}; key {topic['key']}.",
        "contentType": "application/avro",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {
            "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0",
            "schema": schema,
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string"},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "bindingVersion": "0.5.0",
            }
        },
        "examples": [{"name": event, "payload": example}],
    }


def _dead_letter() -> Json:
    return {
        "name": "DeadLetter",
        "summary": "A record that a consumer gave up on: key and value byte for byte.",
        "headers": {"$ref": "#/components/schemas/deadLetterHeaders"},
        "payload": {},
    }


def render(document: Json) -> str:
    """Write the document as YAML, in the order it was made."""
    # Copied by way of JSON: YAML would write a part met twice as an anchor, hard on readers.
    separate = json.loads(json.dumps(document))
    text = yaml.safe_dump(separate, sort_keys=False, allow_unicode=True, width=100)
    return f"# Written by schemas/asyncapi.py; do not edit.\n{text}"


def main() -> int:
    """Write the document, or with --check tell whether the committed one is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if it differs")
    text = render(generate())
    if not parser.parse_args().check:
        DOCUMENT.write_text(text)
    elif not DOCUMENT.is_file() or DOCUMENT.read_text() != text:
        sys.stderr.write(f"{DOCUMENT} is out of date: run {Path(__file__).name}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
