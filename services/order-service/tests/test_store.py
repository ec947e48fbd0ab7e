from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from common.message import StateRecord, uuid7
from order_service.domain import (
    Caps,
    Health,
    Order,
    Payment,
    PlaceOrder,
    Status,
    Stock,
    WantedLine,
    refold,
)
from order_service.messages import Money, ProductChanged
from order_service.store import catalogue, history, orders, placing, timers

from tests.support.orders import OrderDesk, open_desk, partly
from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def desk(databases: Databases) -> AsyncIterator[OrderDesk]:
    async with open_desk(databases) as desk:
        yield desk


NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def full_order() -> Order:
    """Make an order in which no column has its default."""
    return Order(
        order_id=uuid7(),
        customer_id=uuid7(),
        total=900,
        currency="JPY",
        deadline_at=NOW,
        created_at=NOW + timedelta(seconds=1),
        updated_at=NOW + timedelta(seconds=2),
        version=9,
        status=Status.CANCELLING,
        saga=Health.STUCK,
        stock=Stock.COMMITTED,
        payment=Payment.PARTIALLY_REFUNDED,
        reason="cancelled_by_staff",
        closed_by="staff",
        stock_closed=True,
        payment_closed=True,
        amount_captured=900,
        amount_refunded=100,
        noted=frozenset({"late_payment_reversed", "restocked:1"}),
        stuck_reason="payment_unanswered",
        stuck_at=NOW + timedelta(seconds=3),
        closing_since=NOW + timedelta(seconds=4),
        closing_attempts=3,
        closing_due_at=NOW + timedelta(seconds=5),
        confirmed_at=NOW + timedelta(seconds=6),
        completed_at=NOW + timedelta(seconds=7),
        settled_at=NOW + timedelta(seconds=8),
    )


async def test_what_is_stored_is_read_as_it_was(desk: OrderDesk) -> None:
    order = full_order()
    async with desk.database.transaction() as tx:
        await orders.put_orders(tx, [order])

        assert await orders.lock_orders(tx, [order.order_id]) == [order]


async def test_a_whole_order_is_written_over_every_column_of_its_row(desk: OrderDesk) -> None:
    order_id, other = await desk.place_many(2)
    await desk.hear(partly(order_id), partly(other))
    untouched = await desk.order(other)
    order = replace(full_order(), order_id=order_id)

    async with desk.database.transaction() as tx:
        await orders.put_orders(tx, [order])

    assert [await desk.order(order_id), await desk.order(other)] == [order, untouched]


async def test_a_new_order_is_stored_as_its_history_makes_it(desk: OrderDesk) -> None:
    order_ids = await desk.place_many(2)

    async with desk.database.transaction() as tx:
        histories = await history.get_histories(tx, order_ids)
        stored = await orders.lock_orders(tx, order_ids)

    assert stored == [refold(histories[order_id], desk.patience) for order_id in order_ids]


async def test_many_orders_are_changed_at_once_and_no_other(desk: OrderDesk) -> None:
    ids = await desk.place_many(3)
    before = [await desk.order(order_id) for order_id in ids]
    full = full_order()
    changed = [
        replace(
            full,
            order_id=order.order_id,
            customer_id=order.customer_id,
            total=order.total,
            currency=order.currency,
            created_at=order.created_at,
            amount_captured=order.total,
        )
        for order in before[:2]
    ]

    async with desk.database.transaction() as tx:
        await orders.save_orders(tx, changed, [])

    assert [await desk.order(order_id) for order_id in ids] == [*changed, before[2]]


async def test_a_column_of_a_newer_version_is_none_of_our_business(desk: OrderDesk) -> None:
    order_id = await desk.place()

    async with desk.database.transaction() as tx:
        row = await tx.fetchrow("SELECT *, 1 AS added_later FROM orders")
    assert row is not None

    assert orders.order_of(row).order_id == order_id


@pytest.mark.parametrize(
    "change",
    [
        {"amount_captured": 850},
        {"amount_refunded": 1},
        {"status": Status.REJECTED},
        {"reason": "why", "closed_by": "system"},
        {"saga": Health.STUCK},
        {"version": 0},
    ],
    ids=["captured too much", "refunded too much", "no reason", "reason", "stuck", "version"],
)
async def test_a_row_that_contradicts_itself_is_refused(
    desk: OrderDesk, change: dict[str, Any]
) -> None:
    order = await desk.order(await desk.place())

    with pytest.raises(asyncpg.CheckViolationError):
        async with desk.database.transaction() as tx:
            await orders.save_orders(tx, [replace(order, **change)], [])

    assert await desk.order(order.order_id) == order


async def test_two_that_lock_the_same_orders_in_any_order_never_deadlock(desk: OrderDesk) -> None:
    ids = await desk.place_many(30)

    async def lock(wanted: list[UUID]) -> int:
        async with desk.database.transaction() as tx:
            return len(await orders.lock_orders(tx, wanted))

    locked = await asyncio.gather(*(lock(ids if n % 2 else ids[::-1]) for n in range(8)))

    assert locked == [30] * 8


async def test_the_same_version_of_a_history_is_never_written_twice(desk: OrderDesk) -> None:
    await desk.place()

    with pytest.raises(asyncpg.UniqueViolationError):
        async with desk.database.transaction() as tx:
            await tx.execute("INSERT INTO order_events SELECT * FROM order_events")


async def test_a_due_order_that_another_instance_holds_is_left_to_it(desk: OrderDesk) -> None:
    held, free, early = await desk.place_many(3)
    for order_id in (held, free):
        await desk.move(order_id, "deadline_at", timedelta(hours=-1))

    async with desk.database.transaction() as other, desk.database.transaction() as tx:
        await orders.lock_orders(other, [held])
        due = await timers.lock_past_deadline(tx, 10)

    assert [order.order_id for order in due] == [free]
    assert early not in due


async def test_open_orders_are_counted_by_status_and_health(desk: OrderDesk) -> None:
    first, *_ = await desk.place_many(3)
    await desk.cancel(first)

    async with desk.database.transaction() as tx:
        counts = await timers.count_open(tx)

    assert counts == {("PENDING", "RUNNING"): 2, ("CANCELLING", "COMPENSATING"): 1}


def product(sku: str, version: int, price: int | None = None) -> StateRecord:
    event = price and ProductChanged(
        sku=sku,
        name=f"The {sku}",
        price=Money(amount=price, currency="GBP"),
        active=True,
        availability="LOW",
    )
    return StateRecord(sku, version, event or None, uuid7())


@pytest.mark.parametrize(
    ("records", "price"),
    [
        ([product("cup", 1, 100), product("cup", 2, 200)], 200),
        ([product("cup", 2, 200), product("cup", 1, 100)], 200),
        ([product("cup", 1, 100), product("cup", 2)], None),
        ([product("cup", 2), product("cup", 1, 100)], None),
        ([product("cup", 1, 100), product("cup", 2), product("cup", 3, 300)], 300),
    ],
    ids=["newer", "older comes late", "removed", "removed before it was seen", "comes back"],
)
async def test_the_catalogue_is_what_was_said_last(
    desk: OrderDesk, records: list[StateRecord], price: int | None
) -> None:
    async with desk.database.transaction() as tx:
        for record in records:
            await catalogue.save_products(tx, [record])

        lines = (WantedLine("cup", 1), WantedLine("mug", 1))
        wanted = PlaceOrder(uuid7(), uuid7(), lines, "pm_ok")
        found = (await placing.get_terms(tx, [wanted], Caps())).catalogue

    assert found["mug"].price.amount == 255
    assert (found["cup"].price.amount if "cup" in found else None) == price
