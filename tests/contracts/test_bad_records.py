"""Every event that a service decides on is input: believed under its own key and producer alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from common import avro
from common.dead_letter import Record
from common.deciding import Subscription
from common.message import Event, uuid7
from common.reading import Bad, Reader, Stated, Taken
from inventory_service.consumers import SUBSCRIPTION as INVENTORY
from inventory_service.messages import OrderPlaced
from notification_service.consumers import SUBSCRIPTION as NOTIFICATION
from order_service.consumers import subscription as order
from order_service.domain import Patience
from payment_service.consumers import SUBSCRIPTION as PAYMENT

from tests.contracts.test_messages import example_of, golden_frame

SUBSCRIPTIONS = (order(Patience()), INVENTORY, PAYMENT, NOTIFICATION)
HEARD = [
    (subscription, event)
    for subscription in SUBSCRIPTIONS
    for event in (*subscription.decisions, *subscription.states)
]
every_heard = pytest.mark.parametrize(
    ("subscription", "event"),
    HEARD,
    ids=[f"{subscription.group}-{event.__name__}" for subscription, event in HEARD],
)


def record(event: type[Event], ids: dict[str, int]) -> Record:
    """Make the record that the event's producer would."""
    headers = {
        "ce_id": str(uuid7()),
        "ce_type": event.type_name(),
        "ce_source": f"/{avro.source_of(event.TOPIC)}",
        "ce_time": datetime.now(UTC).isoformat(),
        "ce_version": "1",
    }
    return Record(
        topic=event.TOPIC,
        partition=0,
        offset=0,
        timestamp=datetime.now(UTC),
        key=event.model_validate_json(example_of(event)).key().encode(),
        value=golden_frame(event, ids),
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )


def with_header(name: bytes, value: bytes) -> Callable[[Record], Record]:
    """Say something else in a header; the last one of a name is the one that is read."""
    return lambda good: replace(good, headers=[*good.headers, (name, value)])


NOBODYS_FRAME = struct.pack(">bI", 0, avro.contract().ids["notifications.v1", "NotificationSent"])
"""Begins the value of an event that no service decides on."""

BAD: dict[str, Callable[[Record], Record]] = {
    "another key": lambda good: replace(good, key=str(uuid7()).encode()),
    "a key with more in it": lambda good: replace(good, key=(good.key or b"") + b" "),
    "no key": lambda good: replace(good, key=None),
    "a key without end": lambda good: replace(good, key=b"k" * 513, value=None),
    "a key that is not UTF-8": lambda good: replace(good, key=b"\xff"),
    "another producer": with_header(b"ce_source", b"/somebody-else"),
    "nobody's": with_header(b"ce_source", b""),
    "header names that are UTF-8 only together": lambda good: replace(
        good, headers=[*good.headers, (b"\xc3", b"x"), (b"\xa9", b"x")]
    ),
    "no id": with_header(b"ce_id", b""),
    "an id that is none": with_header(b"ce_id", b"7"),
    "the schema of another event": lambda good: replace(
        good, value=NOBODYS_FRAME + (good.value or b"")[len(NOBODYS_FRAME) :]
    ),
    "a truncated value": lambda good: replace(good, value=(good.value or b"")[:-1]),
    "more after the value": lambda good: replace(good, value=(good.value or b"") + b"\x00"),
}


@every_heard
def test_a_true_record_is_read(
    subscription: Subscription[object], event: type[Event], ids: dict[str, int]
) -> None:
    reader = Reader(subscription.decisions, subscription.states)

    reading = reader.read(record(event, ids), datetime.now(UTC))

    assert isinstance(reading, Stated if event in subscription.states else Taken)


@every_heard
@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
def test_a_false_record_is_poison(
    subscription: Subscription[object],
    event: type[Event],
    spoil: Callable[[Record], Record],
    ids: dict[str, int],
) -> None:
    reader = Reader(subscription.decisions, subscription.states)

    reading = reader.read(spoil(record(event, ids)), datetime.now(UTC))

    assert isinstance(reading, Bad)


@pytest.mark.parametrize("text", [b"pm_ok", b"85123A"])
def test_a_text_with_a_nul_is_poison(text: bytes, ids: dict[str, int]) -> None:
    good = record(OrderPlaced, ids)
    assert text in (good.value or b"")
    spoilt = (good.value or b"").replace(text, text[:2] + b"\x00" + text[3:])

    reading = Reader(INVENTORY.decisions, {}).read(replace(good, value=spoilt), datetime.now(UTC))

    assert isinstance(reading, Bad)
    assert "NUL" in str(reading.reason)
