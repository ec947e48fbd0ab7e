"""A provider that is away: its breaker opens, every payment waits, and none is declined for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from common.breakers import BreakerNotes
from devstack.simulator import launch
from payment_service.app import build_breaker, build_charger

from tests.support.cashier import Cashier
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


async def test_payments_wait_for_a_provider_that_is_away_and_an_operator_sees_why(
    cashier: Cashier,
) -> None:
    cashier.settings = cashier.settings.model_copy(
        update={"payment_breaker_calls": 5, "payment_breaker_open_for": timedelta(seconds=2)}
    )
    breaker = build_breaker(cashier.settings)
    stop = asyncio.Event()
    charger = build_charger(cashier.settings, cashier.database, breaker)
    notes = BreakerNotes(cashier.database, [breaker])
    loops = asyncio.gather(charger.run(stop), notes.run(stop))
    await launch.tell(cashier.gateway.url, "mood", mood="broken")

    orders = [await cashier.due() for _ in range(8)]

    async def noted(state: str) -> bool:
        rows = await cashier.rows("SELECT state FROM breakers WHERE name = 'payment-gateway'")
        return [row["state"] for row in rows] == [state]

    await eventually(partial(noted, "open"))
    for order_id in orders:
        assert (await cashier.payment(order_id))["have"] == "NONE"
        assert await cashier.words(order_id) == []

    await launch.tell(cashier.gateway.url, "mood", mood="fine")
    for order_id in orders:
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        assert await cashier.words(order_id) == ["PaymentAuthorized"]
        assert cashier.effects(order_id) == [("authorize", 2208)]
    await eventually(partial(noted, "closed"))
    stop.set()
    await loops
