from __future__ import annotations

import asyncio
import io
import random
import struct
from collections import Counter
from collections.abc import Sequence
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
from inventory_service.consumers import SUBSCRIPTION
from inventory_service.domain.products import AddProduct
from inventory_service.domain.stockroom import Stockroom
from inventory_service.handlers import add_products
from inventory_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderPlaced,
    ProductChanged,
    RefundRequested,
    StockCommitted,
    StockRejected,
    StockReleased,
    StockReserved,
)

pytestmark = pytest.mark.postgres

_MONEY = {"amount": 100, "currency": "GBP"}
# What the wire carries and inventory does not read.
_UNREAD: dict[str, Any] = {
    "customer_id": UUID("0198f3a0-0002-7000-8000-000000000002"),
    "total": _MONEY,
    "amount": _MONEY,
    "payment_method": "pm_ok",
    "reason": "asked_for",
    "by": "customer",
}


def placed(order_id: UUID, *wanted: tuple[str, int]) -> OrderPlaced:
    lines = [
        {"line_no": number, "sku": sku, "quantity": quantity}
        for number, (sku, quantity) in enumerate(wanted, start=1)
    ]
    deadline = datetime.now(UTC) + timedelta(minutes=15)
    return OrderPlaced.model_validate(
        {"order_id": order_id, "lines": lines, "deadline_at": deadline}
    )


def frame(event: Event, **changed: Any) -> bytes:
    """Encode an event as order-service does, with the fields that inventory does not read."""
    schema_id = avro.contract().ids[event.TOPIC, event.type_name()]
    fields: dict[str, Any] = {**_UNREAD, **event.model_dump(), **changed}
    for line in fields.get("lines", ()):
        line["unit_price"] = _MONEY
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(buffer, avro.contract().by_id[schema_id][1], fields)
    return buffer.getvalue()


def record(event: Event, offset: int, event_id: UUID | None = None, **changed: Any) -> Record:
    headers = {
        "ce_type": event.type_name(),
        "ce_id": str(event_id or uuid7()),
        "ce_source": "/order-service",
        "ce_time": datetime.now(UTC).isoformat(),
    }
    return Record(
        topic=event.TOPIC,
        partition=0,
        offset=offset,
        timestamp=datetime.now(UTC),
        key=event.key().encode(),
        value=frame(event, **changed),
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )


def records(*events: Event) -> list[Record]:
    return [record(event, offset) for offset, event in enumerate(events)]


def shell(database: Database) -> Shell[Stockroom]:
    return Shell(SUBSCRIPTION, database=database)


async def hear(database: Database, batch: Sequence[Record]) -> None:
    assert await shell(database).handle(batch, asyncio.Event())


async def stocked(database: Database, **stock: int) -> None:
    price = Money(amount=100, currency="GBP")
    async with database.transaction() as tx:
        await add_products(
            tx, [AddProduct(sku, sku, price, available, 1) for sku, available in stock.items()]
        )
        await tx.execute("DELETE FROM outbox")


async def said(database: Database) -> list[Event]:
    """Read what waits for the relay, in its order."""
    types: tuple[type[Event], ...] = (
        StockReserved, StockRejected, StockCommitted, StockReleased, ProductChanged,
    )  # fmt: skip
    by_name = {each.type_name(): each for each in types}
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT type, payload FROM outbox WHERE topic NOT LIKE '%.dlt' ORDER BY id"
        )
    return [avro.decode(row["payload"], by_name[row["type"]]) for row in rows]


async def contents(database: Database) -> dict[str, list[Any]]:
    """Read every table that a replay must leave alone."""
    tables = {
        "stock": "SELECT * FROM stock ORDER BY sku",
        "movements": "SELECT * FROM movements ORDER BY id",
        "reservations": "SELECT * FROM reservations ORDER BY order_id",
        "lines": "SELECT * FROM reservation_lines ORDER BY order_id, line_no",
        "restocks": "SELECT * FROM restocks ORDER BY refund_id",
    }
    async with database.transaction() as tx:
        return {name: await tx.fetch(sql) for name, sql in tables.items()}


def story(order_id: UUID) -> list[Record]:
    refund = RefundRequested.model_validate(
        {
            "order_id": order_id,
            "refund_id": uuid7(),
            "lines": [{"line_no": 1, "sku": "lamp", "quantity": 1}],
        }
    )
    return records(
        placed(order_id, ("lamp", 3), ("vase", 2)),
        OrderConfirmed(order_id=order_id),
        refund,
        OrderCancelRequested(order_id=order_id),
    )


async def test_an_order_is_answered_step_by_step(database: Database) -> None:
    await stocked(database, lamp=10, vase=10)

    await hear(database, story(uuid7()))

    assert [type(event) for event in await said(database)] == [
        StockReserved,
        StockCommitted,
        StockReleased,
        StockReleased,
    ]


async def test_a_redelivered_batch_changes_nothing_and_says_nothing(database: Database) -> None:
    await stocked(database, lamp=10, vase=10)
    batch = story(uuid7())
    await hear(database, batch)
    before, answers = await contents(database), await said(database)

    await hear(database, batch)

    assert await contents(database) == before
    assert await said(database) == answers


async def test_a_replay_after_the_inbox_forgot_changes_nothing(database: Database) -> None:
    await stocked(database, lamp=10, vase=10)
    batch = story(uuid7())
    await hear(database, batch)
    before = await contents(database)

    async with database.transaction() as tx:
        await tx.execute("DELETE FROM inbox")
        await tx.execute("DELETE FROM outbox")
    await hear(database, batch)

    assert await contents(database) == before
    # Only a closing is answered again; by then nothing is held.
    (answer,) = await said(database)
    assert isinstance(answer, StockReleased)
    assert (answer.closing, answer.nothing_held) == (True, True)


async def test_a_late_order_after_its_closing_reserves_nothing(database: Database) -> None:
    await stocked(database, lamp=10)
    order_id = uuid7()

    await hear(database, records(OrderExpired(order_id=order_id)))
    await hear(database, [record(placed(order_id, ("lamp", 1)), 1)])

    assert [type(event) for event in await said(database)] == [StockReleased]
    room = await contents(database)
    assert [(row["available"], row["reserved"]) for row in room["stock"]] == [(10, 0)]
    assert [row["state"] for row in room["reservations"]] == ["CLOSED"]


async def test_a_confirmation_ahead_of_its_order_is_not_lost(database: Database) -> None:
    await stocked(database, lamp=10)
    order_id = uuid7()

    await hear(database, records(OrderConfirmed(order_id=order_id)))
    await hear(database, [record(placed(order_id, ("lamp", 1)), 1)])

    assert [type(event) for event in await said(database)] == [StockReserved, StockCommitted]


async def test_one_batch_sells_a_scarce_product_exactly_once(database: Database) -> None:
    await stocked(database, lamp=7)

    await hear(database, records(*(placed(uuid7(), ("lamp", 2)) for _ in range(10))))

    answers = Counter(type(event) for event in await said(database))
    assert answers == {StockReserved: 3, StockRejected: 7, ProductChanged: 1}


async def test_a_crossed_line_is_announced_with_its_version(database: Database) -> None:
    await stocked(database, lamp=3)
    order_id = uuid7()

    await hear(
        database, records(placed(order_id, ("lamp", 3)), OrderCancelRequested(order_id=order_id))
    )

    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT * FROM outbox WHERE topic = 'catalog.v1' AND aggregateid = 'lamp' ORDER BY id"
        )
    headers = [dict(zip(row["header_names"], row["header_values"], strict=True)) for row in rows]
    assert [each[b"ce_version"] for each in headers] == [b"2", b"3"]
    assert [avro.decode(row["payload"], ProductChanged).availability for row in rows] == [
        "NONE",
        "SOME",
    ]


async def test_an_impossible_order_among_good_ones_is_set_aside_alone(database: Database) -> None:
    await stocked(database, lamp=10)
    good, bad = placed(uuid7(), ("lamp", 1)), placed(uuid7(), ("lamp", 1))
    line = {"line_no": 1, "sku": "lamp", "quantity": -5}

    await hear(database, [record(bad, 0, lines=[line]), record(good, 1)])

    assert [type(event) for event in await said(database)] == [StockReserved]
    async with database.transaction() as tx:
        parked = await tx.fetch("SELECT key, state FROM parked")
    assert [tuple(row) for row in parked] == [(bad.key().encode(), "skipped")]


async def test_two_consumers_that_share_products_never_deadlock(database: Database) -> None:
    skus = {f"sku{number}": 60 for number in range(6)}
    await stocked(database, **skus)
    other = Database(database.settings, name="inventory-service")
    chance = random.Random(11)  # noqa: S311  a story that can be told again

    def batch(offset: int) -> list[Record]:
        events: list[Event] = []
        for _ in range(15):
            order_id = uuid7()
            wanted = [(sku, chance.randint(1, 3)) for sku in chance.sample(list(skus), 4)]
            events += [placed(order_id, *wanted), chance.choice([
                OrderConfirmed(order_id=order_id), OrderExpired(order_id=order_id),
            ])]  # fmt: skip
        return [record(event, offset + place) for place, event in enumerate(events)]

    async def consume(mine: Database, first: int) -> None:
        for number in range(10):
            await hear(mine, batch(first + number * 30))

    await asyncio.gather(consume(database, 0), consume(other, 1000))
    await other.close()

    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT count(*) FROM parked") == 0
        wrong = await tx.fetch(
            "SELECT * FROM stock WHERE available + sold <> 60 OR reserved <> 0 OR available < 0"
        )
    assert wrong == []
