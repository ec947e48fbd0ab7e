"""A provider that does as it is asked and answers badly: nobody pays twice, all are served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import pytest
from devstack.simulator import launch
from devstack.simulator.moods import Mood
from payment_service.messages import OrderCancelRequested

from tests.support.cashier import Cashier
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

MOODS = sorted(set(Mood) - {Mood.FINE})
CAPTURES = "/v1/*/capture"
REFUNDS = "/v1/refunds"


@asynccontextmanager
async def meeting(
    cashier: Cashier, mood: Mood, path: str = "/", **looks: bool
) -> AsyncIterator[None]:
    """Let the provider meet these calls so, and be itself again afterwards."""
    await launch.tell(cashier.gateway.url, "mood", mood=mood, path=path, **looks)
    try:
        yield
    finally:
        await launch.tell(cashier.gateway.url, "mood", mood=Mood.FINE)


async def called(cashier: Cashier, order_id: UUID, have: str) -> bool:
    """Tell whether the provider was asked and its answer, if there was one, is understood."""
    row = await cashier.payment(order_id)
    return row["have"] == have or (row["calls"] > 0 and row["lease_token"] is None)


@pytest.mark.parametrize("mood", MOODS)
async def test_a_first_answer_that_is_bad_holds_the_money_once(
    cashier: Cashier, mood: Mood
) -> None:
    order_id = await cashier.due(f"pm_answer_{mood.replace('-', '_')}")

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    assert cashier.effects(order_id) == [("authorize", 2208)]
    assert await cashier.words(order_id) == ["PaymentAuthorized"]


@pytest.mark.parametrize("mood", MOODS)
async def test_a_capture_and_a_refund_that_are_answered_badly_are_made_once(
    cashier: Cashier, mood: Mood
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

        async with meeting(cashier, mood, CAPTURES):
            await cashier.confirm(order_id)
            await eventually(partial(called, cashier, order_id, "CAPTURED"))
        await eventually(partial(cashier.has, order_id, "CAPTURED"))

        async with meeting(cashier, mood, REFUNDS):
            await cashier.hear(OrderCancelRequested(order_id=order_id))
            await eventually(partial(called, cashier, order_id, "REFUNDED"))
        await eventually(partial(cashier.has, order_id, "REFUNDED"))

    assert cashier.effects(order_id) == [("authorize", 2208), ("capture", 2208), ("refund", 2208)]
    words = ["PaymentAuthorized", "PaymentCaptured", "PaymentRefunded"]
    assert await cashier.words(order_id) == words


@pytest.mark.parametrize("mood", [Mood.WRONG_AMOUNT, Mood.WRONG_CURRENCY])
async def test_other_money_than_was_asked_for_is_alarmed_and_changes_nothing(
    cashier: Cashier, mood: Mood, capsys: pytest.CaptureFixture[str]
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        async with meeting(cashier, mood, looks=True):
            await eventually(partial(looked, cashier, order_id))
            row = await cashier.payment(order_id)
            assert (row["have"], row["intent_id"]) == ("NONE", None)
            assert await cashier.said(order_id) == []
            assert "provider's payment is not the one asked for" in capsys.readouterr().out
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    assert cashier.effects(order_id) == [("authorize", 2208)]


async def looked(cashier: Cashier, order_id: UUID) -> bool:
    """Tell whether the provider's own records were read several times."""
    row = await cashier.payment(order_id)
    return row["in_doubt"] and row["calls"] >= 4
