"""What payment hears, through the shell and on real Postgres."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import pytest
from common.message import uuid7
from payment_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderLinesAmended,
    RefundRequested,
    StockPartiallyReserved,
    StockReserved,
)

from tests.support.cashier import Cashier, placed
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


async def books(cashier: Cashier) -> list[dict[str, Any]]:
    """See all that a replay must leave alone."""
    payments = await cashier.rows("SELECT * FROM payments ORDER BY order_id")
    refunds = await cashier.rows("SELECT * FROM refunds ORDER BY refund_id")
    return [dict(row) for row in (*payments, *refunds)]


async def test_facts_may_come_in_any_order(cashier: Cashier) -> None:
    first, second = uuid7(), uuid7()

    await cashier.hear(placed(first), StockReserved(order_id=first))
    await cashier.hear(StockReserved(order_id=second), placed(second))

    rows = await cashier.rows("SELECT operation, amount FROM payments")
    assert [tuple(row) for row in rows] == [("AUTHORIZE", 2208)] * 2


async def test_an_amended_order_is_charged_its_new_total(cashier: Cashier) -> None:
    order_id = uuid7()
    await cashier.hear(placed(order_id), StockPartiallyReserved(order_id=order_id))
    assert (await cashier.payment(order_id))["operation"] is None

    smaller = Money(amount=678, currency="GBP")
    await cashier.hear(OrderLinesAmended(order_id=order_id, total=smaller))
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    assert cashier.effects(order_id) == [("authorize", 678)]


async def story(cashier: Cashier) -> tuple[UUID, list[Any]]:
    """Let an order be paid, partly refunded and closed."""
    order_id = uuid7()
    heard = await cashier.hear(placed(order_id), StockReserved(order_id=order_id))
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        heard += await cashier.hear(OrderConfirmed(order_id=order_id))
        await eventually(partial(cashier.has, order_id, "CAPTURED"))
        part = Money(amount=678, currency="GBP")
        heard += await cashier.hear(
            RefundRequested(order_id=order_id, refund_id=uuid7(), amount=part)
        )
        heard += await cashier.hear(OrderCancelRequested(order_id=order_id))
        await eventually(partial(cashier.has, order_id, "REFUNDED"))
    return order_id, heard


async def test_what_comes_twice_changes_nothing_and_says_nothing(cashier: Cashier) -> None:
    order_id, heard = await story(cashier)
    before, said = await books(cashier), await cashier.said(order_id)

    await cashier.replay(heard)

    assert await books(cashier) == before
    assert await cashier.said(order_id) == said


async def test_a_replay_after_the_inbox_forgot_charges_nothing(cashier: Cashier) -> None:
    order_id, heard = await story(cashier)
    before, effects = await books(cashier), cashier.effects(order_id)
    async with cashier.database.transaction() as tx:
        await tx.execute("DELETE FROM inbox")
        await tx.execute("DELETE FROM outbox")

    await cashier.replay(heard)
    async with cashier.charging():
        pass

    assert await books(cashier) == before
    assert cashier.effects(order_id) == effects
    # Only a closing is answered again; by then nothing is held.
    assert await cashier.words(order_id) == ["PaymentVoided"]


async def test_an_order_of_nothing_is_poison_and_its_neighbour_is_not(cashier: Cashier) -> None:
    nothing = placed(uuid7()).model_copy(
        update={"total": Money.model_construct(amount=0, currency="GBP")}
    )
    good = uuid7()

    await cashier.hear(nothing, placed(good), StockReserved(order_id=good))

    (parked,) = await cashier.rows("SELECT state, error FROM parked")
    assert parked["state"] == "skipped"
    assert "OrderPlaced" in parked["error"]
    assert (await cashier.payment(good))["operation"] == "AUTHORIZE"
