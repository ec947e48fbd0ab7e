"""Money is held for days, not for ever: what is not captured in time is not captured any more."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from devstack.simulator import launch
from payment_service.domain.answers import Errand, Succeeded
from payment_service.messages import OrderCancelRequested, PaymentCaptureFailed
from payment_service.store.leases import lease_errands
from prometheus_client import REGISTRY

from tests.support.cashier import Cashier
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


async def held(cashier: Cashier, age: timedelta) -> UUID:
    """Hold money since long ago, and be about to take it."""
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
    await cashier.rows("UPDATE payments SET authorized_at = authorized_at - $1::interval", age)
    await cashier.confirm(order_id)
    return order_id


async def leased(cashier: Cashier) -> Errand:
    """Lease a capture as a worker does that then dies; the lease is over at once."""
    async with cashier.database.transaction() as tx:
        (errand,) = await lease_errands(tx, 1, uuid4(), MINUTE, key_life=DAY, hold_life=DAY)
    await cashier.rows("UPDATE payments SET next_at = now()")
    return errand


async def old_holds(cashier: Cashier) -> float | None:
    """Read the metric that the alert HoldsEnd asks for, as the service shows it."""
    await cashier.watch_books()
    return REGISTRY.get_sample_value("pedido_payment_old_holds")


async def test_a_hold_that_is_about_to_end_is_given_up_and_not_captured(cashier: Cashier) -> None:
    order_id = await held(cashier, 6 * DAY)

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "CAPTURE_FAILED"))
        await cashier.hear(OrderCancelRequested(order_id=order_id))
        await eventually(partial(cashier.has, order_id, "VOIDED"))

    said = await cashier.said(order_id)
    assert [event.type_name() for event in said] == [
        "PaymentAuthorized",
        "PaymentCaptureFailed",
        "PaymentVoided",
    ]
    assert isinstance(said[1], PaymentCaptureFailed)
    assert said[1].code == "authorization_expired"
    assert cashier.effects(order_id) == [("authorize", 2208), ("cancel", 2208)]


async def test_a_hold_is_captured_until_then(cashier: Cashier) -> None:
    order_id = await held(cashier, 6 * DAY - MINUTE)

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "CAPTURED"))


async def test_a_capture_whose_answer_was_lost_is_found_though_it_is_late(cashier: Cashier) -> None:
    order_id = await held(cashier, 6 * DAY)
    errand = await leased(cashier)
    charger = cashier.charger()
    async with charger.provider.client:
        assert isinstance(await charger.provider.call(errand), Succeeded)

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "CAPTURED"))

    assert cashier.effects(order_id) == [("authorize", 2208), ("capture", 2208)]


async def test_a_capture_that_may_have_been_made_is_looked_for_and_not_made_again(
    cashier: Cashier,
) -> None:
    order_id = await held(cashier, 6 * DAY)
    await leased(cashier)

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "CAPTURE_FAILED"))

    assert cashier.effects(order_id) == [("authorize", 2208)]
    asked = cashier.gateway.rows("SELECT key FROM keys WHERE key LIKE '%:capture:%'")
    assert not [
        key for (key,) in asked if str((await cashier.payment(order_id))["payment_id"]) in key
    ]


async def test_a_hold_of_a_day_that_can_not_be_captured_is_an_alarm(cashier: Cashier) -> None:
    order_id = await held(cashier, DAY - MINUTE)
    await launch.tell(cashier.gateway.url, "mood", mood="broken")
    assert await old_holds(cashier) == 0

    await cashier.rows("UPDATE payments SET authorized_at = authorized_at - $1::interval", MINUTE)

    assert await old_holds(cashier) == 1
    await launch.tell(cashier.gateway.url, "mood", mood="fine")
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "CAPTURED"))
    assert await old_holds(cashier) == 0


async def test_a_hold_is_as_old_as_the_first_call_that_may_have_made_it(cashier: Cashier) -> None:
    order_id = await cashier.due("pm_answer_lost")
    await leased(cashier)
    await cashier.rows("UPDATE payments SET called_at = called_at - interval '1 hour'")

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    row = await cashier.payment(order_id)
    assert row["updated_at"] - row["authorized_at"] > timedelta(minutes=59)
