import asyncio
import io
import random
import struct
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import fastavro
import pytest
from common import avro
from common.database import Database
from common.dead_letter import Record
from common.message import Event, uuid7
from common.shell import Shell
from notification_service.consumers import SUBSCRIPTION
from notification_service.messages import (
    CustomerChanged,
    OrderCancelled,
    OrderConfirmed,
    OrderLinesAmended,
    OrderPlaced,
    PaymentRefunded,
    StockPartiallyReserved,
)
from notification_service.store import letters, reads
from notification_service.store.reads import NoticeFilter

pytestmark = pytest.mark.postgres

MONEY = {"amount": 1530, "currency": "GBP"}
# what the wire carries and notification does not read
UNREAD: dict[str, Any] = {
    "customer_id": UUID("0198f3a0-0002-7000-8000-000000000002"),
    "payment_id": UUID("0198f3a0-0007-7000-8000-000000000007"),
    "payment_method": "pm_ok",
    "deadline_at": datetime(2026, 1, 1, tzinfo=UTC),
    "cumulative": MONEY,
    "closing": True,
}


def of(order_id: UUID | None) -> NoticeFilter:
    return NoticeFilter(order_id=order_id)


def frame(event: Event) -> bytes:
    schema_id = avro.contract().ids[event.TOPIC, event.type_name()]
    fields: dict[str, Any] = {**UNREAD, **event.model_dump()}
    for number, line in enumerate(fields.get("lines", ()), start=1):
        line["line_no"] = number
        line.setdefault("asked", 6)
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(buffer, avro.contract().by_id[schema_id][1], fields)
    return buffer.getvalue()


def record(event: Event, offset: int = 0, version: int | None = None) -> Record:
    headers = {
        "ce_type": event.type_name(),
        "ce_id": str(uuid7()),
        "ce_source": f"/{avro.source_of(event.TOPIC)}",
        "ce_time": datetime.now(UTC).isoformat(),
    }
    if version is not None:
        headers["ce_version"] = str(version)
    return Record(
        topic=event.TOPIC,
        partition=0,
        offset=offset,
        timestamp=datetime.now(UTC),
        key=event.key().encode(),
        value=frame(event),
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )


def story(order_id: UUID, customer_id: UUID) -> list[Record]:
    """Tell of an order that was confirmed, cancelled and refunded."""
    placed = OrderPlaced.model_validate(
        {
            "order_id": order_id,
            "customer_id": customer_id,
            "lines": [{"sku": "85123A", "quantity": 6, "unit_price": MONEY}],
            "total": MONEY,
        }
    )
    customer = CustomerChanged(
        customer_id=customer_id, name="Ada", email="ada@example.com", language="en"
    )
    refunded = PaymentRefunded.model_validate(
        {"order_id": order_id, "refund_id": uuid7(), "amount": MONEY}
    )
    return [
        record(customer, version=1),
        record(placed, 0),
        record(OrderConfirmed(order_id=order_id), 1),
        record(OrderCancelled(order_id=order_id, reason="by_customer"), 2),
        record(refunded, 3),
    ]


async def hear(database: Database, batch: Sequence[Record]) -> None:
    shell = Shell(SUBSCRIPTION, database=database)
    assert await shell.handle(batch, asyncio.Event())


async def due(database: Database) -> list[str]:
    async with database.transaction() as tx:
        leased = await letters.lease_letters(tx, 100, uuid7(), timedelta(minutes=1))
    return sorted(letter.notice.kind for letter in leased)


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_heard_in_any_order_and_batches_is_owed(
    database: Database, seed: int
) -> None:
    heard = story(uuid7(), uuid7())
    random.Random(seed).shuffle(heard)  # noqa: S311  a test's own dice

    await hear(database, heard[:seed])
    await hear(database, heard[seed:])

    assert await due(database) == ["cancelled", "confirmed", "refunded", "welcome"]


@pytest.mark.parametrize("seed", range(6))
async def test_letters_show_what_was_offered_and_what_was_taken_in_any_order(
    database: Database, seed: int
) -> None:
    order_id = uuid7()
    customer, placed, confirmed, *_ = story(order_id, uuid7())
    price = {"amount": 255, "currency": "GBP"}
    taken = {"sku": "85123A", "quantity": 2, "unit_price": price}
    held = {"sku": "85123A", "available": 2}
    heard = [
        record(StockPartiallyReserved.model_validate({"order_id": order_id, "lines": [held]})),
        record(
            OrderLinesAmended.model_validate(
                {
                    "order_id": order_id,
                    "lines": [taken],
                    "total": {"amount": 510, "currency": "GBP"},
                }
            )
        ),
        customer,
        placed,
        confirmed,
    ]
    random.Random(seed).shuffle(heard)  # noqa: S311  a test's own dice

    for each in heard:
        await hear(database, [each])
        await hear(database, [each])

    async with database.transaction() as tx:
        leased = await letters.lease_letters(tx, 100, uuid7(), timedelta(minutes=1))
    shown = {each.notice.kind: each.content.order for each in leased if each.notice.order_id}
    assert shown.keys() == {"decide", "confirmed"}
    quantities = {
        kind: [line.quantity for line in order.lines] for kind, order in shown.items() if order
    }
    assert quantities == {"decide": [2], "confirmed": [2]}
    assert shown["confirmed"] is not None
    assert shown["confirmed"].total.amount == 510


async def test_a_replay_owes_nothing_again(database: Database) -> None:
    order_id = uuid7()
    heard = story(order_id, uuid7())
    await hear(database, heard)
    async with database.transaction() as tx:
        before = await reads.list_notices(tx, of(order_id), after=None, limit=9)
        await tx.execute("DELETE FROM inbox")

    await hear(database, heard)

    async with database.transaction() as tx:
        assert await reads.list_notices(tx, of(order_id), after=None, limit=9) == before


async def test_many_orders_are_one_batch(database: Database) -> None:
    stories = [story(uuid7(), uuid7()) for _ in range(100)]

    await hear(database, [each for told in stories for each in told])

    async with database.transaction() as tx:
        owed = await tx.fetchval("SELECT count(*) FROM notifications")
    assert owed == 400


async def test_merchants_that_listen_are_told_of_all_that_happens(database: Database) -> None:
    await hear(database, story(uuid7(), uuid7()))
    async with database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO endpoints (endpoint_id, url, description, types, secret, created_at)
            VALUES ($1, 'https://shop.example/hooks', '', '{}', '', now() - interval '1 hour')
            """,
            uuid7(),
        )
    heard = story(uuid7(), uuid7())

    await hear(database, heard)
    await hear(database, heard)

    async with database.transaction() as tx:
        told = await tx.fetch("SELECT type FROM deliveries ORDER BY seq")
    assert [row["type"] for row in told] == [
        "order.placed",
        "order.confirmed",
        "order.cancelled",
        "order.refunded",
    ]


async def test_a_customer_is_welcomed_once(database: Database) -> None:
    customer_id = uuid7()
    told = [
        CustomerChanged(customer_id=customer_id, name="Ada", email=address, language="en")
        for address in ("ada@example.com", "ada@example.org")
    ]

    await hear(database, [record(told[0], version=1)])
    await hear(database, [record(told[1], version=2)])
    await hear(database, [record(told[0], version=1)])

    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT order_id, customer_id, subject, message_id FROM notifications"
        )
    assert [tuple(row) for row in rows] == [
        (None, customer_id, str(customer_id), f"<-.welcome.{customer_id}@pedido>")
    ]


async def test_who_is_erased_before_they_were_known_is_not_welcomed(database: Database) -> None:
    customer = CustomerChanged(
        customer_id=uuid7(), name="Ada", email="ada@example.com", language="en"
    )

    await hear(database, [_without_value(record(customer, version=2))])
    await hear(database, [record(customer, version=1)])

    assert await due(database) == []


async def test_an_erased_customer_leaves_no_address(database: Database) -> None:
    order_id, customer_id = uuid7(), uuid7()
    heard = story(order_id, customer_id)
    await hear(database, heard)
    tombstone = record(
        CustomerChanged(customer_id=customer_id, name=None, email="x@example.com", language="en"),
        version=2,
    )

    await hear(database, [_without_value(tombstone)])
    await hear(database, heard[:1])

    async with database.transaction() as tx:
        kept = await tx.fetchrow("SELECT email, name, version FROM customers")
    assert kept is not None
    assert tuple(kept) == (None, None, 2)


async def test_what_is_set_aside_of_an_erased_customer_is_emptied(database: Database) -> None:
    told, other = [
        record(
            CustomerChanged(customer_id=uuid7(), name="Ada", email=email, language="en"), version=1
        )
        for email in ("ada@example.com", "ben@example.com")
    ]
    await hear(database, [_saying(each, b"ce_version", b"?") for each in (told, other)])
    tombstone = _saying(_without_value(told), b"ce_version", b"2")

    await hear(database, [tombstone])

    async with database.transaction() as tx:
        kept = await tx.fetch("SELECT key, payload, state FROM parked")
    assert {(row["key"], row["payload"], row["state"]) for row in kept} == {
        (told.key, None, "skipped"),
        (other.key, other.value, "skipped"),
    }


def _saying(each: Record, name: bytes, value: bytes) -> Record:
    return replace(each, headers=list((dict(each.headers) | {name: value}).items()))


def _without_value(each: Record) -> Record:
    return replace(each, value=None)
