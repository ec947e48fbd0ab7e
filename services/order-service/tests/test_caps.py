"""A customer can't hold more than so much without having paid, and not for longer than so long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio
from common.errors import Refusal
from common.message import uuid7
from order_service import handlers
from order_service.domain import Caps, Holdings, Patience, Placed, PlaceOrder, WantedLine
from order_service.messages import PaymentAuthorized, StockReserved

from tests.support.live import open_live
from tests.support.orders import OrderDesk, open_desk
from tests.support.postgres import Databases

FEW = Caps(orders=3, pieces=10, lines=8)
HOUR = timedelta(hours=1)


def wanted(customer: UUID, *lines: tuple[str, int]) -> PlaceOrder:
    items = (WantedLine(sku, quantity, item) for item, (sku, quantity) in enumerate(lines))
    return PlaceOrder(uuid7(), customer, tuple(items), "pm_ok")


def codes(*outcomes: object) -> list[str]:
    return [each.code if isinstance(each, Refusal) else "" for each in outcomes]


def test_orders_of_a_batch_add_up() -> None:
    ana, ben = uuid7(), uuid7()
    held = Holdings(FEW)

    outcomes = [held.take(wanted(customer, ("mug", 1))) for customer in (ana, ana, ben, ana, ana)]

    assert codes(*outcomes) == ["", "", "", "", "too_many_open_orders"]


def test_pieces_of_a_product_add_up_and_another_product_is_free() -> None:
    ana = uuid7()
    held = Holdings(FEW)

    outcomes = [
        held.take(wanted(ana, *lines))
        for lines in ([("mug", 6)], [("pot", 9), ("mug", 5)], [("mug", 4), ("pot", 10)])
    ]

    assert codes(*outcomes) == ["", "too_much_held", ""]
    refusal = outcomes[1]
    assert refusal is not None
    assert [error.pointer for error in refusal.errors] == ["/items/1/quantity"]
    assert (refusal.status, refusal.retryable) == (429, True)


def test_a_line_that_could_never_be_held_is_not_worth_a_retry() -> None:
    refusal = Holdings(FEW).take(wanted(uuid7(), ("mug", 11)))

    assert refusal is not None
    assert (refusal.code, refusal.status, refusal.retryable) == ("validation_failed", 422, False)


def test_lines_are_bounded_too() -> None:
    ana = uuid7()
    held = Holdings(FEW)
    five = [(f"p{n}", 1) for n in range(5)]

    assert codes(held.take(wanted(ana, *five)), held.take(wanted(ana, *five))) == [
        "",
        "too_many_open_orders",
    ]


@pytest_asyncio.fixture
async def desk(databases: Databases) -> AsyncIterator[OrderDesk]:
    async with open_desk(databases) as desk:
        yield desk


async def place(desk: OrderDesk, *commands: PlaceOrder) -> list[Placed | Refusal]:
    async with desk.database.transaction() as tx:
        return await handlers.place_orders(tx, commands, caps=FEW)


@pytest.mark.postgres
async def test_what_is_stored_counts_and_what_is_confirmed_does_not(desk: OrderDesk) -> None:
    ana, ben = uuid7(), uuid7()
    first, _ = await place(desk, wanted(ana, ("mug", 4)), wanted(ana, ("mug", 4)))
    assert isinstance(first, Placed)

    full = await place(desk, wanted(ana, ("mug", 3)), wanted(ben, ("mug", 10)))
    await desk.hear(StockReserved(order_id=first.event.order_id))
    authorized = PaymentAuthorized(order_id=first.event.order_id, amount=first.event.total)
    await desk.hear(authorized)
    again = await place(desk, wanted(ana, ("mug", 3)), wanted(ana, ("pot", 1)))
    fourth = await place(desk, wanted(ana, ("pot", 1)))

    assert codes(*full) == ["too_much_held", ""]
    assert codes(*again, *fourth) == ["", "", "too_many_open_orders"]


@pytest.mark.postgres
async def test_a_hoarding_bot_holds_no_stock_past_the_deadline(desk: OrderDesk) -> None:
    bot = uuid7()
    commands = [wanted(bot, ("mug", 3)) for _ in range(20)]
    outcomes = await place(desk, *commands)
    held = [each.event.order_id for each in outcomes if isinstance(each, Placed)]
    assert len(held) == FEW.orders
    for order_id in held:
        await desk.move(order_id, "deadline_at", -HOUR)

    async with desk.database.transaction() as tx:
        expired = await handlers.expire_orders(tx, limit=100, patience=Patience())

    assert expired == len(held)
    assert [await desk.said(order_id) for order_id in held] == [["OrderPlaced", "OrderExpired"]] * 3
    assert codes(*await place(desk, wanted(bot, ("mug", 3)))) == [""]


@pytest.mark.postgres
async def test_parallel_orders_of_one_customer_stop_at_the_cap(databases: Databases) -> None:
    async with open_live(databases, open_orders_max=5) as live:
        await live.sell(("TEA", 250))
        bot = live.caller()

        answers = await asyncio.gather(*(live.place(bot, ("TEA", 1)) for _ in range(30)))

        refused = [answer for answer in answers if answer.status_code == 429]
        assert sum(answer.status_code == 202 for answer in answers) == 5
        assert {answer.json()["code"] for answer in refused} == {"too_many_open_orders"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert len(await live.rows("SELECT FROM orders")) == 5


@pytest.mark.postgres
async def test_a_key_that_was_refused_for_the_cap_is_free_again(databases: Databases) -> None:
    async with open_live(databases, open_orders_max=1) as live:
        await live.sell(("TEA", 250))
        bot = live.caller()
        order_id = (await live.place(bot, ("TEA", 1))).json()["orderId"]

        refused = await live.place(bot, ("TEA", 1), key="again")
        await live.http.post(f"/orders/{order_id}/cancel", headers=bot.headers())
        taken = await live.place(bot, ("TEA", 1), key="again")

        assert (refused.status_code, taken.status_code) == (429, 202)
