"""The provider's answers as a use case: one transaction for many, or nothing at all."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from common.message import uuid7
from payment_service import handlers
from payment_service.domain.answers import Answer, Declined, Report, Succeeded, Unknown
from payment_service.domain.payment import Kind, Operation
from payment_service.store.leases import lease_errands

from tests.support.cashier import Cashier

pytestmark = pytest.mark.postgres


def report(order_id: UUID, answer: Answer, *, number: int = 1) -> Report:
    return Report(order_id, Operation(Kind.AUTHORIZE), number, uuid4(), answer)


async def settle(cashier: Cashier, *reports: Report) -> None:
    await handlers.settle_reports(cashier.database, reports, cashier.charger().patience)


async def test_many_answers_are_settled_together(cashier: Cashier) -> None:
    held, refused = await cashier.due(), await cashier.due()

    await settle(
        cashier, report(held, Succeeded("pi_1")), report(refused, Declined("do_not_honor"))
    )

    assert await cashier.words(held) == ["PaymentAuthorized"]
    assert await cashier.words(refused) == ["PaymentDeclined"]
    rows = await cashier.rows("SELECT DISTINCT updated_at FROM payments")
    assert len(rows) == 1


async def test_an_answer_that_nobody_waits_for_changes_nothing(cashier: Cashier) -> None:
    order_id = await cashier.due()
    before = dict(await cashier.payment(order_id))

    await settle(cashier, report(order_id, Succeeded("pi_1"), number=2))

    assert dict(await cashier.payment(order_id)) == before
    assert await cashier.words(order_id) == []


async def test_two_answers_of_one_payment_count_once(cashier: Cashier) -> None:
    order_id = await cashier.due()

    await settle(
        cashier, report(order_id, Succeeded("pi_1")), report(order_id, Declined("too_late"))
    )

    assert await cashier.words(order_id) == ["PaymentAuthorized"]
    assert (await cashier.payment(order_id))["have"] == "AUTHORIZED"


async def test_a_payment_and_its_event_are_written_together_or_not(cashier: Cashier) -> None:
    order_id = await cashier.due()
    intent_id = "pi_\0"  # Postgres keeps no NUL

    with pytest.raises(Exception, match="invalid byte sequence"):
        await settle(cashier, report(order_id, Succeeded(intent_id)))

    assert (await cashier.payment(order_id))["have"] == "NONE"
    assert await cashier.words(order_id) == []


async def test_an_answer_for_an_order_never_seen_is_stale(cashier: Cashier) -> None:
    order_id = uuid7()

    await settle(cashier, report(order_id, Succeeded("pi_1")))

    assert await cashier.rows("SELECT * FROM payments") == []
    assert await cashier.words(order_id) == []


async def test_payments_that_failed_together_are_not_tried_again_together(cashier: Cashier) -> None:
    orders = [await cashier.due() for _ in range(12)]
    async with cashier.database.transaction() as tx:
        hour = timedelta(hours=1)
        errands = await lease_errands(tx, 12, uuid4(), hour, key_life=hour, hold_life=hour)

    await settle(cashier, *(errand.report(Unknown("time-out")) for errand in errands))

    rows = await cashier.rows("SELECT next_at - updated_at AS delay FROM payments")
    delays = sorted(row["delay"] for row in rows)
    assert len(set(delays)) >= len(orders) - 1  # two may draw the same microsecond
    assert delays[-1] <= timedelta(milliseconds=100)
    assert delays[0] < delays[-1] * 0.8
