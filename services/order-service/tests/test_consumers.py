from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from common.errors import Refusal
from common.message import Event, uuid7
from order_service.domain import Health, Payment, Status, Stock
from order_service.messages import (
    LatePaymentReversed,
    Money,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    ProductChanged,
    StockCommitted,
    StockRejected,
    StockReleased,
    StockReserved,
)

from tests.support.orders import OrderDesk, open_desk
from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres

TOTAL = Money(amount=849, currency="GBP")

DIGEST = """
    SELECT (SELECT array_agg(o::text ORDER BY order_id) FROM orders o) AS orders,
           (SELECT array_agg(e::text ORDER BY order_id, version) FROM order_events e) AS events,
           (SELECT array_agg(p::text ORDER BY sku) FROM products p) AS products
"""
"""All that a replay must leave as it is."""


@pytest_asyncio.fixture
async def desk(databases: Databases) -> AsyncIterator[OrderDesk]:
    async with open_desk(databases) as desk:
        yield desk


def good_end(order_id: UUID) -> list[Event]:
    return [
        StockReserved(order_id=order_id),
        PaymentAuthorized(order_id=order_id),
        StockCommitted(order_id=order_id),
        PaymentCaptured(order_id=order_id, amount=TOTAL),
    ]


def orders_of(facts: list[Event]) -> list[tuple[Event, ...]]:
    """List every order of arrival that topics allow: within one, and after the pivot."""
    return [
        order
        for order in permutations(facts)
        if all(order.index(facts[a]) < order.index(facts[b]) for a, b in ((0, 2), (1, 2), (1, 3)))
    ]


@pytest.mark.parametrize("place", range(len(orders_of(good_end(uuid7())))))
async def test_facts_of_two_topics_join_in_any_order(desk: OrderDesk, place: int) -> None:
    order_id = await desk.place()

    for fact in orders_of(good_end(order_id))[place]:
        await desk.hear(fact)

    order = await desk.order(order_id)
    assert (order.status, order.saga) == (Status.COMPLETED, Health.COMPLETED)
    assert (order.stock, order.payment) == (Stock.COMMITTED, Payment.CAPTURED)
    assert await desk.said(order_id) == ["OrderPlaced", "OrderConfirmed", "OrderCompleted"]
    assert order.settled_at == order.completed_at


async def test_a_whole_batch_is_folded_in_the_order_in_which_it_came(desk: OrderDesk) -> None:
    ids = await desk.place_many(20)

    await desk.hear(*(fact for facts in zip(*map(good_end, ids), strict=True) for fact in facts))

    assert {(await desk.order(order_id)).status for order_id in ids} == {Status.COMPLETED}
    history = await desk.history(ids[0])
    assert history == [
        "OrderPlaced",
        "StockReserved",
        "PaymentAuthorized",
        "OrderConfirmed",
        "StockCommitted",
        "PaymentCaptured",
        "OrderCompleted",
    ]


def rejected(order_id: UUID) -> list[Event]:
    return [
        StockRejected(order_id=order_id, reason="insufficient_stock"),
        StockReleased(order_id=order_id, closing=True),
        PaymentVoided(order_id=order_id, closing=True),
    ]


def declined(order_id: UUID) -> list[Event]:
    return [
        StockReserved(order_id=order_id),
        PaymentDeclined(order_id=order_id, code="insufficient_funds"),
        PaymentVoided(order_id=order_id, closing=True),
        StockReleased(order_id=order_id, closing=True),
    ]


def capture_failed(order_id: UUID) -> list[Event]:
    return [
        StockReserved(order_id=order_id),
        PaymentAuthorized(order_id=order_id),
        PaymentCaptureFailed(order_id=order_id, code="expired_card"),
        StockCommitted(order_id=order_id),
        PaymentVoided(order_id=order_id, closing=True),
        StockReleased(order_id=order_id, closing=True),
        LatePaymentReversed(order_id=order_id, amount=TOTAL),
    ]


@pytest.mark.parametrize(
    ("story", "status", "reason", "said"),
    [
        (rejected, Status.REJECTED, "insufficient_stock", ["OrderRejected"]),
        (declined, Status.REJECTED, "payment_declined", ["OrderRejected"]),
        (
            capture_failed,
            Status.CANCELLED,
            "capture_failed",
            ["OrderConfirmed", "OrderCancelRequested", "OrderCancelled"],
        ),
    ],
    ids=["stock short", "declined", "capture failed"],
)
async def test_an_order_that_can_not_be_is_undone(
    desk: OrderDesk,
    story: Callable[[UUID], list[Event]],
    status: Status,
    reason: str,
    said: list[str],
) -> None:
    order_id = await desk.place()

    for fact in story(order_id):
        await desk.hear(fact)

    order = await desk.order(order_id)
    assert (order.status, order.saga, order.reason) == (status, Health.COMPENSATED, reason)
    assert order.is_settled
    assert await desk.said(order_id) == ["OrderPlaced", *said]


async def test_an_order_is_not_compensated_before_both_have_answered(desk: OrderDesk) -> None:
    order_id = await desk.place()
    await desk.cancel(order_id)

    await desk.hear(StockReleased(order_id=order_id, closing=True))
    halfway = await desk.order(order_id)
    await desk.hear(PaymentVoided(order_id=order_id, closing=True))
    ended = await desk.order(order_id)

    assert (halfway.status, halfway.saga) == (Status.CANCELLING, Health.COMPENSATING)
    assert (ended.status, ended.saga) == (Status.CANCELLED, Health.COMPENSATED)


async def test_an_order_cancelled_after_its_capture_shows_what_was_given_back(
    desk: OrderDesk,
) -> None:
    order_id = await desk.place()
    await desk.hear(*good_end(order_id))
    await desk.cancel(order_id)

    await desk.hear(
        StockReleased(order_id=order_id, closing=True),
        PaymentRefunded(
            order_id=order_id, refund_id=uuid7(), amount=TOTAL, cumulative=TOTAL, closing=True
        ),
    )

    order = await desk.order(order_id)
    assert (order.status, order.payment) == (Status.CANCELLED, Payment.REFUNDED)
    assert order.amount_refunded == order.amount_captured == 849


@pytest.mark.parametrize("story", [good_end, rejected, declined, capture_failed])
async def test_a_redelivered_message_changes_nothing_even_when_the_inbox_forgot(
    desk: OrderDesk, story: Callable[[UUID], list[Event]]
) -> None:
    order_id = await desk.place()
    records = [record for fact in story(order_id) for record in await desk.hear(fact)]
    (before,) = await desk.rows(DIGEST)
    said = await desk.said(order_id)

    await desk.replay(records)
    async with desk.database.transaction() as tx:
        await tx.execute("DELETE FROM inbox")
    await desk.replay(records)

    assert (await desk.rows(DIGEST)) == [before]
    assert await desk.said(order_id) == said
    assert not await desk.rows("SELECT FROM parked")


@pytest.mark.parametrize(
    "fact",
    [
        PaymentAuthorized(order_id=uuid7()),
        StockReleased(order_id=uuid7(), closing=True),
    ],
    ids=["authorised", "released"],
)
async def test_a_fact_of_an_unknown_order_waits_and_is_not_dropped(
    desk: OrderDesk, fact: Event
) -> None:
    await desk.hear(fact)

    (parked,) = await desk.rows("SELECT key, state, error_class FROM parked")
    assert (parked["key"], parked["state"]) == (fact.key().encode(), "retry")
    assert parked["error_class"].endswith("UnknownOrder")


async def test_an_impossible_fact_holds_up_its_own_order_only(desk: OrderDesk) -> None:
    odd, even = await desk.place_many(2)
    never_asked = StockReleased(order_id=odd, closing=True)

    await desk.hear(never_asked, StockReserved(order_id=odd), *good_end(even))

    assert (await desk.order(odd)).stock is Stock.NONE
    assert (await desk.order(even)).status is Status.COMPLETED
    parked = await desk.rows("SELECT key FROM parked WHERE state = 'retry' ORDER BY seq")
    assert [row["key"] for row in parked] == [str(odd).encode()] * 2


async def test_the_race_of_pivot_and_cancel_is_decided_by_the_orders_row(desk: OrderDesk) -> None:
    ids = await desk.place_many(12)

    async def cancel(order_id: UUID) -> None:
        try:
            await desk.cancel(order_id)
        except Refusal as refusal:
            pytest.fail(f"a pending or confirmed order is cancelled: {refusal}")

    await asyncio.gather(
        *(
            work
            for each in ids
            for work in (cancel(each), desk.hear(PaymentAuthorized(order_id=each)))
        )
    )

    for order_id in ids:
        order, said = await desk.order(order_id), await desk.said(order_id)
        assert (order.status, order.payment) == (Status.CANCELLING, Payment.AUTHORIZED)
        assert said in (
            ["OrderPlaced", "OrderCancelRequested"],
            ["OrderPlaced", "OrderConfirmed", "OrderCancelRequested"],
        )


async def test_two_instances_with_the_same_orders_never_deadlock(desk: OrderDesk) -> None:
    ids = await desk.place_many(40)
    reserved = [StockReserved(order_id=order_id) for order_id in ids]
    authorised = [PaymentAuthorized(order_id=order_id) for order_id in reversed(ids)]

    await asyncio.gather(desk.hear(*reserved), desk.hear(*authorised))

    states = await desk.rows("SELECT DISTINCT status, stock, payment FROM orders")
    assert [tuple(state) for state in states] == [("CONFIRMED", "RESERVED", "AUTHORIZED")]
    assert not await desk.rows("SELECT FROM parked")


def cup(**change: Any) -> ProductChanged:
    known: dict[str, Any] = {
        "sku": "cup",
        "name": "A cup",
        "price": Money(amount=120, currency="GBP"),
        "active": True,
        "availability": "SOME",
    }
    return ProductChanged(**known | change)


async def test_the_catalogue_follows_what_inventory_says(desk: OrderDesk) -> None:
    newer = desk.record(cup(price=Money(amount=150, currency="GBP")), version=2)

    await desk.replay([newer])
    await desk.replay([desk.record(cup(), version=1)])

    rows = await desk.rows("SELECT price, available, version FROM products WHERE sku = 'cup'")
    assert [tuple(row) for row in rows] == [(150, "SOME", 2)]
    order = await desk.order(await desk.place(("cup", 2)))
    assert order.total == 300
