"""Each way in which an order can end, through four real services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.saga.conftest import Town

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]

CONFIRMED = (
    "SELECT count(*) FROM orders.order_events WHERE order_id = $1 AND type = 'OrderConfirmed'"
)


async def test_an_order_is_confirmed_paid_and_shipped_out_of_stock(town: Town) -> None:
    order = await town.order(2)

    assert await town.settled(order) == "COMPLETED"
    assert await town.stock() == (98, 0, 2)


async def test_an_order_for_more_than_there_is_takes_nothing(town: Town) -> None:
    order = await town.order(101)

    assert await town.settled(order) == "REJECTED"
    assert await town.stock() == (100, 0, 0)


async def test_a_declined_payment_gives_the_stock_back(town: Town) -> None:
    order = await town.order(3, "pm_declined_insufficient_funds")

    assert await town.settled(order) == "REJECTED"
    assert await town.stock() == (100, 0, 0)


async def test_a_capture_that_fails_after_the_pivot_undoes_the_order(town: Town) -> None:
    order = await town.order(3, "pm_capture_fails")

    assert await town.settled(order) == "CANCELLED"
    assert await town.stock() == (100, 0, 3)  # sold, and restocked


async def test_a_cancelled_order_gives_money_and_stock_back(town: Town) -> None:
    order = await town.order(4)
    await town.settled(order)

    assert await town.cancel(order) == 202
    assert await _cancelled(town, order)
    assert await town.stock() == (100, 0, 4)  # sold, and restocked
    payment = await town.db.fetchrow("SELECT captured, refunded FROM payments.payments")
    assert payment
    assert payment["captured"] == payment["refunded"] == 4 * 339


async def test_an_order_cancelled_at_once_ends_cancelled(town: Town) -> None:
    order = await town.order(4)

    assert await town.cancel(order) == 202
    assert await _cancelled(town, order)
    # Where the customer's second request was slow, the order was confirmed by then, and sold.
    sold = 4 * await town.db.fetchval(CONFIRMED, order)
    assert await town.stock() == (100, 0, sold)


async def test_an_answer_that_the_provider_loses_charges_once(town: Town) -> None:
    order = await town.order(1, "pm_answer_lost")

    assert await town.settled(order, 60) == "COMPLETED"
    assert await town.db.fetchval("SELECT captured FROM payments.payments") == 339


async def _cancelled(town: Town, order: object) -> bool:
    async def over() -> bool:
        status = await town.db.fetchval(
            "SELECT status || saga FROM orders.orders WHERE order_id = $1", order
        )
        return bool(status == "CANCELLEDCOMPENSATED")

    return await eventually(over, 30)
