"""Closings at every moment: what is held is given back, and the answer comes then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from common.message import uuid7
from devstack.ports import free_port
from devstack.topology import GATEWAY_KEY
from payment_service.messages import (
    Money,
    OrderCancelRequested,
    OrderRejected,
    PaymentRefunded,
    PaymentVoided,
    RefundRequested,
    StockReserved,
)

from tests.support.cashier import Cashier, open_cashier, placed
from tests.support.gateway import RunningGateway
from tests.support.postgres import Databases
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def patient(databases: Databases, gateway: RunningGateway) -> AsyncIterator[Cashier]:
    """Wait for slow answers, and long for late ones."""
    settings = {
        "payment_gateway_timeout": timedelta(seconds=5),
        "payment_lease": timedelta(seconds=20),
        "payment_late_look": timedelta(seconds=2),
    }
    async with open_cashier(databases.app_dsn("payments"), gateway, **settings) as cashier:
        yield cashier


async def close(cashier: Cashier, order_id: UUID) -> None:
    await cashier.hear(OrderCancelRequested(order_id=order_id))


def refund(order_id: UUID, amount: int) -> RefundRequested:
    money = Money(amount=amount, currency="GBP")
    return RefundRequested(order_id=order_id, refund_id=uuid7(), amount=money)


async def captured(cashier: Cashier, order_id: UUID) -> None:
    await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
    await cashier.confirm(order_id)
    await eventually(partial(cashier.has, order_id, "CAPTURED"))


async def test_a_closing_before_any_call_costs_nothing(cashier: Cashier) -> None:
    order_id = await cashier.due()

    await close(cashier, order_id)
    async with cashier.charging():
        pass

    (answer,) = await cashier.said(order_id)
    assert isinstance(answer, PaymentVoided)
    assert (answer.nothing_held, answer.closing) == (True, True)
    assert cashier.effects(order_id) == []


async def test_an_order_that_was_over_before_it_came_is_never_charged(cashier: Cashier) -> None:
    order_id = uuid7()

    await close(cashier, order_id)
    await cashier.hear(placed(order_id), StockReserved(order_id=order_id))
    async with cashier.charging():
        pass

    assert await cashier.words(order_id) == ["PaymentVoided"]
    assert (await cashier.payment(order_id))["operation"] is None
    assert cashier.effects(order_id) == []


async def test_what_is_held_is_voided(cashier: Cashier) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await close(cashier, order_id)
        await eventually(partial(cashier.has, order_id, "VOIDED"))

    answer = (await cashier.said(order_id))[-1]
    assert isinstance(answer, PaymentVoided)
    assert (answer.nothing_held, answer.closing) == (False, True)
    assert cashier.effects(order_id) == [("authorize", 2208), ("cancel", 2208)]


async def test_a_closing_while_the_authorisation_is_in_flight_waits_for_its_end(
    patient: Cashier,
) -> None:
    order_id = await patient.due("pm_slow")
    async with patient.charging():
        await eventually(lambda: patient.effects(order_id))
        await close(patient, order_id)
        (seen,) = await patient.rows(  # at one moment: the answer may come in the next
            "SELECT have = 'NONE' AND EXISTS (SELECT FROM outbox) AS is_hasty FROM payments"
        )
        assert not seen["is_hasty"]
        await eventually(partial(patient.has, order_id, "VOIDED"))

    assert await patient.words(order_id) == ["PaymentAuthorized", "PaymentVoided"]
    assert patient.effects(order_id) == [("authorize", 2208), ("cancel", 2208)]


async def test_a_closing_while_the_capture_is_in_flight_gives_the_money_back(
    patient: Cashier,
) -> None:
    order_id = await patient.due("pm_slow")
    async with patient.charging():
        await eventually(partial(patient.has, order_id, "AUTHORIZED"))
        await patient.confirm(order_id)
        await eventually(lambda: len(patient.effects(order_id)) == 2)
        await close(patient, order_id)
        await eventually(partial(patient.has, order_id, "REFUNDED"))

    said = await patient.said(order_id)
    assert [event.type_name() for event in said] == [
        "PaymentAuthorized",
        "PaymentCaptured",
        "PaymentRefunded",
    ]
    answer = said[-1]
    assert isinstance(answer, PaymentRefunded)
    assert (answer.closing, answer.amount.amount) == (True, 2208)
    assert [kind for kind, _ in patient.effects(order_id)] == ["authorize", "capture", "refund"]


async def test_refunds_that_were_asked_for_end_first_and_the_rest_follows(
    cashier: Cashier,
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await captured(cashier, order_id)
    await cashier.hear(refund(order_id, 678), refund(order_id, 2000))
    await close(cashier, order_id)
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "REFUNDED"))

    said = [event for event in await cashier.said(order_id) if isinstance(event, PaymentRefunded)]
    assert [(e.amount.amount, e.cumulative.amount, e.closing) for e in said] == [
        (678, 678, False),
        (1530, 2208, True),
    ]
    assert "RefundFailed" in await cashier.words(order_id)
    assert [kind for kind, _ in cashier.effects(order_id)][2:] == ["refund", "refund"]
    rows = await cashier.rows("SELECT status, code FROM refunds ORDER BY amount")
    assert [tuple(row) for row in rows] == [
        ("SUCCEEDED", None),
        ("SUCCEEDED", None),
        ("FAILED", "over_refund"),
    ]


async def test_a_closing_that_is_heard_again_is_answered_again(cashier: Cashier) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await captured(cashier, order_id)
        await close(cashier, order_id)
        await eventually(partial(cashier.has, order_id, "REFUNDED"))
    before = dict(await cashier.payment(order_id))

    await cashier.hear(OrderRejected(order_id=order_id))

    first, again = (await cashier.said(order_id))[-2:]
    assert isinstance(first, PaymentRefunded)
    assert isinstance(again, PaymentVoided)
    assert (again.nothing_held, again.closing) == (True, True)
    assert dict(await cashier.payment(order_id)) == before


async def test_nobody_waits_for_a_provider_that_was_never_called(
    databases: Databases, gateway: RunningGateway
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    dsn = databases.app_dsn("payments")
    async with open_cashier(dsn, gateway, payment_gateway_url=nowhere) as cashier:
        order_id = await cashier.due()

        async def put_off() -> bool:
            row = await cashier.payment(order_id)
            return row["lease_token"] is None and row["next_at"] > row["created_at"]

        async with cashier.charging():
            await eventually(put_off)
        assert (await cashier.payment(order_id))["calls"] == 0
        await close(cashier, order_id)

        assert await cashier.words(order_id) == ["PaymentVoided"]


async def test_money_that_turns_up_after_the_answer_is_given_back(patient: Cashier) -> None:
    order_id = await patient.due()
    await doubt(patient)
    await close(patient, order_id)
    async with patient.charging():
        await eventually(lambda: patient.words(order_id))
        assert await patient.words(order_id) == ["PaymentVoided"]
        await arrive_late(patient, order_id)
        await eventually(partial(patient.has, order_id, "VOIDED"))

    assert await patient.words(order_id) == ["PaymentVoided", "LatePaymentReversed"]
    assert patient.effects(order_id) == [("authorize", 2208), ("cancel", 2208)]


async def doubt(cashier: Cashier) -> None:
    """Let a call have been made whose key can't tell any more what became of it."""
    async with cashier.database.transaction() as tx:
        await tx.execute(
            "UPDATE payments SET calls = 1, in_doubt = true, called_at = now(), "
            "last_call_at = now()"
        )


async def arrive_late(cashier: Cashier, order_id: UUID) -> None:
    """Let the call of long ago have its effect now."""
    payment_id = (await cashier.payment(order_id))["payment_id"]
    form = {
        "amount": "2208",
        "currency": "gbp",
        "payment_method": "pm_ok",
        "confirm": "true",
        "capture_method": "manual",
        "error_on_requires_action": "true",
        "metadata[order_id]": str(order_id),
        "metadata[payment_id]": str(payment_id),
    }
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    async with httpx2.AsyncClient(base_url=cashier.gateway.url, headers=headers) as http:
        answer = await http.post("/v1/payment_intents", data=form)
    assert answer.status_code == 200


async def test_money_that_was_never_held_ends_with_a_last_look(cashier: Cashier) -> None:
    order_id = await cashier.due()
    await doubt(cashier)
    await close(cashier, order_id)
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "NONE"))

    assert await cashier.words(order_id) == ["PaymentVoided"]
    assert cashier.effects(order_id) == []
