"""Events that wait, in an outbox or a topic: as real as those of orders, and as many as wanted."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import fastavro
from common import avro
from common.message import uuid7

from benchmarks.rig import SKUS

TOPIC = "orders.v1"
PLACED, COMPLETED = "OrderPlaced", "OrderCompleted"
PER_KEY = 4
"""Events of one key: as in life, what the outbox holds is not one event each of many orders."""


@dataclass(frozen=True, slots=True)
class Event:
    """A finished record, as the outbox holds it and the topic gets it."""

    event_id: UUID
    key: bytes
    payload: bytes
    headers: list[tuple[str, bytes]]


def events(count: int, kind: str = PLACED, *, per_key: int = 1) -> Iterator[Event]:
    """Make so many, each key's one after the other; numbered in `ce_version`."""
    schema_id = avro.contract().ids[TOPIC, kind]
    schema = avro.contract().by_id[schema_id][1]
    now = datetime.now(UTC)
    chosen = Random(count)  # noqa: S311  not a secret
    same = _same_headers(kind, schema_id)
    order = ""
    for number in range(count):
        if number % per_key == 0:
            order = str(uuid7())
        body = io.BytesIO()
        body.write(schema_id.to_bytes(5))  # the magic byte is 0
        fastavro.schemaless_writer(body, schema, _facts(kind, order, now, chosen))
        event_id = uuid7()
        headers = [*same, *_own_headers(str(event_id).encode(), number)]
        yield Event(event_id, order.encode(), body.getvalue(), headers)


def _facts(kind: str, order: str, now: datetime, chosen: Random) -> dict[str, Any]:
    facts: dict[str, Any] = {"order_id": order, "customer_id": order}
    if kind == PLACED:
        price = {"amount": 1250, "currency": "GBP"}
        facts["lines"] = [
            {"line_no": n, "sku": sku, "quantity": 1, "unit_price": price}
            for n, sku in enumerate(chosen.sample(SKUS, 2), start=1)
        ]
        facts["total"] = {"amount": 2500, "currency": "GBP"}
        facts["payment_method"] = "pm_card_visa"
        facts["deadline_at"] = now + timedelta(hours=1)
    return facts


def _same_headers(kind: str, schema_id: int) -> list[tuple[str, bytes]]:
    words = {
        "ce_specversion": "1.0",
        "ce_source": "/order-service",
        "ce_type": kind,
        "content-type": "application/avro",
        "ce_dataschema": f"urn:pedido:schema:{schema_id}",
        "ce_time": "2026-01-01T00:00:00.000000+00:00",
    }
    return [(name, value.encode()) for name, value in words.items()]


def _own_headers(event_id: bytes, number: int) -> Iterator[tuple[str, bytes]]:
    yield "ce_id", event_id
    yield "ce_subject", event_id
    yield "ce_correlationid", event_id
    yield "ce_version", b"%d" % number
