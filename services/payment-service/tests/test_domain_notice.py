"""What the provider tells uncalled never settles anything; it may make us ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from common.message import Stale
from payment_service.domain.answers import Patience, Report, Untouched
from payment_service.domain.notice import Notice, Verdict, take_notice
from payment_service.domain.payment import (
    AT_ONCE,
    Attempt,
    Have,
    Kind,
    Operation,
    Payment,
    Refund,
    RefundStatus,
    Wanted,
)
from payment_service.domain.settling import settle

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
REFUND = UUID("0198f3a0-0003-7000-8000-000000000003")
PATIENCE = Patience(*[timedelta(seconds=1)] * 4)
MADE = datetime(2026, 3, 1, tzinfo=UTC)

PLACED = Payment(ORDER, amount=2208, currency="GBP", payment_method="pm_ok")
HELD = replace(PLACED, wanted=Wanted.AUTHORIZED, have=Have.AUTHORIZED, intent_id="pi_1")
CLOSED = replace(PLACED, wanted=Wanted.CLOSED, answered=True)
DECLINED = replace(PLACED, wanted=Wanted.AUTHORIZED, have=Have.DECLINED)

NOTICE = Notice(
    event_id="evt_1",
    type="payment_intent.amount_capturable_updated",
    intent_id="pi_1",
    payment_id=PLACED.payment_id,
    order_id=ORDER,
    refund_id=None,
    amount=2208,
    currency="GBP",
    holds_money=True,
    is_refund=False,
    created_at=MADE,
)
RELEASED = replace(NOTICE, holds_money=False)
REFUNDED = replace(NOTICE, refund_id=REFUND, amount=678, holds_money=False, is_refund=True)


def waiting(kind: Kind = Kind.AUTHORIZE, **attempt: object) -> Payment:
    made = replace(Attempt(Operation(kind), calls=1), **attempt)  # type: ignore[arg-type]
    return replace(PLACED, wanted=Wanted.AUTHORIZED, attempt=made)


@pytest.mark.parametrize(
    ("payment", "notice", "verdict"),
    [
        (waiting(), NOTICE, Verdict.LOOKING),
        (waiting(in_doubt=True), NOTICE, Verdict.LOOKING),
        (waiting(calls=0), NOTICE, Verdict.NOTED),
        (waiting(token=uuid4()), NOTICE, Verdict.NOTED),
        (waiting(in_doubt=True, looks=1), NOTICE, Verdict.NOTED),
        (waiting(Kind.LOOK), NOTICE, Verdict.NOTED),
        (waiting(Kind.LOOK, token=uuid4()), RELEASED, Verdict.NOTED),
        (HELD, NOTICE, Verdict.NOTED),
        (HELD, RELEASED, Verdict.NOTED),
        (CLOSED, NOTICE, Verdict.LOOKING),
        (CLOSED, RELEASED, Verdict.NOTED),
        (DECLINED, NOTICE, Verdict.UNEXPLAINED),
        (PLACED, NOTICE, Verdict.UNEXPLAINED),
        (HELD, replace(NOTICE, intent_id="pi_2"), Verdict.MISMATCH),
        (HELD, replace(RELEASED, intent_id="pi_2"), Verdict.NOTED),
        (HELD, replace(NOTICE, amount=1), Verdict.MISMATCH),
        (HELD, replace(NOTICE, currency="EUR"), Verdict.MISMATCH),
        (HELD, replace(NOTICE, order_id=None), Verdict.MISMATCH),
        (Payment(ORDER), NOTICE, Verdict.MISMATCH),
        (HELD, REFUNDED, Verdict.MISMATCH),
    ],
)
def test_a_notice_is_at_most_a_reason_to_ask(
    payment: Payment, notice: Notice, verdict: Verdict
) -> None:
    found, after = take_notice(payment, notice)

    assert found is verdict
    assert replace(after, attempt=payment.attempt, delay=payment.delay) == payment
    assert (after != payment) is (verdict is Verdict.LOOKING)
    if verdict is Verdict.LOOKING:
        assert after.delay == AT_ONCE


def test_a_look_for_late_money_begins_when_the_provider_made_it() -> None:
    _, after = take_notice(CLOSED, NOTICE)

    assert after.attempt == Attempt(Operation(Kind.LOOK), called_at=MADE)


@pytest.mark.parametrize(
    "looking",
    [
        waiting(Kind.LOOK, token=uuid4()),
        waiting(Kind.AUTHORIZE, token=uuid4(), in_doubt=True, looks=1),
    ],
    ids=["for late money", "for a charge in doubt"],
)
def test_a_look_made_before_the_money_came_does_not_count(looking: Payment) -> None:
    assert looking.attempt is not None
    nothing = Report(ORDER, looking.attempt.operation, 1, looking.attempt.token, Untouched())

    found, after = take_notice(looking, NOTICE)

    assert (found, after.delay) == (Verdict.LOOKING, AT_ONCE)
    assert isinstance(settle(after, nothing, PATIENCE), Stale)


@pytest.mark.parametrize(
    ("amount", "verdict"), [(678, Verdict.NOTED), (679, Verdict.MISMATCH)], ids=["same", "other"]
)
def test_a_refund_is_compared_with_the_one_asked_for(amount: int, verdict: Verdict) -> None:
    asked = Refund(REFUND, 678, RefundStatus.SUCCEEDED)
    payment = replace(HELD, have=Have.CAPTURED, captured=2208, refunded=678, refunds=(asked,))

    found, after = take_notice(payment, replace(REFUNDED, amount=amount))

    assert (found, after) == (verdict, payment)
