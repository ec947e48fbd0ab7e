"""How much staff may give back, and what becomes of a refund, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from common.errors import Refusal
from common.message import uuid7
from hypothesis import given, settings
from hypothesis import strategies as st
from order_service.domain import (
    Order,
    Refund,
    RefundState,
    RequestRefund,
    ReturnedLine,
    Status,
    fold_refunds,
    request_refund,
)
from order_service.domain.order import FULFILLED
from order_service.domain.refunds import AT_CLOSING, RefundFact
from order_service.messages import (
    Money,
    OrderLine,
    PaymentRefunded,
    RefundFailed,
    RefundRequested,
    StockLine,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
ID = UUID("0198f3a0-0001-7000-8000-000000000001")
SOLD = tuple(
    OrderLine(
        line_no=line_no,
        sku=sku,
        quantity=quantity,
        unit_price=Money(amount=price, currency="GBP"),
    )
    for line_no, sku, quantity, price in ((1, "mug", 6, 255), (2, "pot", 2, 339), (3, "card", 1, 0))
)
TOTAL = 6 * 255 + 2 * 339


def completed(*, refunded: int = 0) -> Order:
    return Order(
        order_id=ID,
        customer_id=ID,
        total=TOTAL,
        currency="GBP",
        deadline_at=NOW,
        created_at=NOW,
        updated_at=NOW,
        status=Status.COMPLETED,
        amount_captured=TOTAL,
        amount_refunded=refunded,
    )


def wanted(
    amount: int | None = None, *lines: tuple[int, int], restock: bool = False, currency: str = "GBP"
) -> RequestRefund:
    return RequestRefund(
        refund_id=uuid7(),
        order_id=ID,
        by=ID,
        reason="damaged",
        amount=Money(amount=amount, currency=currency) if amount else None,
        lines=tuple(ReturnedLine(*line) for line in lines),
        restock=restock,
    )


def before(state: RefundState, amount: int, *lines: tuple[int, int]) -> Refund:
    """Make a refund that was asked for earlier."""
    return Refund(
        refund_id=uuid7(),
        order_id=ID,
        amount=amount,
        currency="GBP",
        state=state,
        reason="damaged",
        requested_by="staff",
        requested_at=NOW,
        updated_at=NOW,
        lines=tuple(StockLine(line_no=n, sku="x", quantity=quantity) for n, quantity in lines),
    )


def ask(command: RequestRefund, *refunds: Refund, order: Order | None = None) -> RefundRequested:
    return request_refund(order or completed(), command, sold=SOLD, refunds=refunds)


def refusal(command: RequestRefund, *refunds: Refund, order: Order | None = None) -> Refusal:
    with pytest.raises(Refusal) as refused:
        ask(command, *refunds, order=order)
    return refused.value


def test_lines_cost_what_they_were_sold_for() -> None:
    event = ask(wanted(None, (1, 2), (2, 1)))

    assert event.amount == Money(amount=2 * 255 + 339, currency="GBP")
    assert [(line.line_no, line.sku, line.quantity) for line in event.refunded_lines] == [
        (1, "mug", 2),
        (2, "pot", 1),
    ]
    assert event.lines == ()
    assert (event.reason, event.by) == ("damaged", "staff")


def test_restocking_names_the_same_lines() -> None:
    event = ask(wanted(None, (2, 1), restock=True))

    assert event.lines == event.refunded_lines != ()


def test_a_line_that_is_named_twice_counts_once_as_the_sum() -> None:
    event = ask(wanted(None, (1, 2), (1, 3)))

    assert [(line.line_no, line.quantity) for line in event.refunded_lines] == [(1, 5)]
    assert refusal(wanted(None, (1, 3), (1, 4))).code == "over_refund"


@pytest.mark.parametrize("status", Status)
def test_only_what_is_completed_is_refunded(status: Status) -> None:
    order = replace(completed(), status=status)

    if status in FULFILLED:
        assert ask(wanted(1), order=order).amount.amount == 1
    else:
        refused = refusal(wanted(1), order=order)
        assert (refused.code, refused.status) == ("invalid_state", 409)


@pytest.mark.parametrize(
    ("state", "refunded", "left"),
    [
        (RefundState.REQUESTED, 0, TOTAL - 500),
        (RefundState.SUCCEEDED, 500, TOTAL - 500),
        (RefundState.FAILED, 0, TOTAL),
    ],
)
def test_all_refunds_together_stay_within_what_was_paid(
    state: RefundState, refunded: int, left: int
) -> None:
    order = completed(refunded=refunded)
    earlier = before(state, 500)

    assert ask(wanted(left), earlier, order=order).amount.amount == left
    refused = refusal(wanted(left + 1), earlier, order=order)
    assert (refused.code, refused.status) == ("over_refund", 422)


@pytest.mark.parametrize(
    ("state", "left"),
    [(RefundState.REQUESTED, 2), (RefundState.SUCCEEDED, 2), (RefundState.FAILED, 6)],
)
def test_no_more_of_a_line_goes_back_than_was_bought(state: RefundState, left: int) -> None:
    earlier = before(state, 4 * 255, (1, 4))

    assert ask(wanted(None, (1, left)), earlier).refunded_lines[0].quantity == left
    refused = refusal(wanted(None, (2, 1), (1, left + 1)), earlier)
    assert (refused.code, refused.status) == ("over_refund", 422)
    assert [error.pointer for error in refused.errors] == ["/lines/1/quantity"]


def test_a_line_that_is_none_is_pointed_at() -> None:
    refused = refusal(wanted(None, (1, 1), (4, 1)))

    assert (refused.code, refused.status) == ("validation_failed", 422)
    assert [error.pointer for error in refused.errors] == ["/lines/1/lineNo"]


def test_what_cost_nothing_is_not_given_back() -> None:
    assert refusal(wanted(None, (3, 1))).code == "validation_failed"


def test_money_goes_back_in_the_currency_that_it_came_in() -> None:
    assert refusal(wanted(1, currency="EUR")).code == "currency_mismatch"


def test_an_order_without_money_in_it_has_nothing_to_give_back() -> None:
    resolved_by_hand = replace(completed(), amount_captured=0)

    assert refusal(wanted(1), order=resolved_by_hand).code == "over_refund"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.integers(1, TOTAL), st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)))
            ),
            st.sampled_from(RefundState),
        ),
        max_size=12,
    )
)
def test_whatever_is_asked_for_no_more_goes_back_than_came(
    asked: list[tuple[int | list[tuple[int, int]], RefundState]],
) -> None:
    order, refunds = completed(), dict[UUID, Refund]()
    for what, end in asked:
        command = wanted(what) if isinstance(what, int) else wanted(None, *what)
        try:
            event = ask(command, *refunds.values(), order=order)
        except Refusal:
            continue
        facts: list[RefundFact] = [event]
        if end is RefundState.SUCCEEDED:
            order = replace(order, amount_refunded=order.amount_refunded + event.amount.amount)
            facts.append(succeeded(event, order.amount_refunded))
        elif end is RefundState.FAILED:
            facts.append(failed(event))
        refunds = fold_refunds(refunds, [(fact, NOW) for fact in facts])

    alive = [each for each in refunds.values() if each.state is not RefundState.FAILED]
    assert sum(refund.amount for refund in alive) <= TOTAL
    for line in SOLD:
        back = (each for refund in alive for each in refund.lines if each.line_no == line.line_no)
        assert sum(each.quantity for each in back) <= line.quantity


def succeeded(event: RefundRequested, cumulative: int) -> PaymentRefunded:
    return PaymentRefunded(
        order_id=ID,
        refund_id=event.refund_id,
        amount=event.amount,
        cumulative=Money(amount=cumulative, currency="GBP"),
        closing=False,
    )


def failed(event: RefundRequested) -> RefundFailed:
    return RefundFailed(
        order_id=ID, refund_id=event.refund_id, amount=event.amount, code="expired", closing=False
    )


def test_a_refund_is_asked_for_and_then_ends_one_way_or_the_other() -> None:
    event = ask(wanted(None, (1, 2), restock=True))

    (asked,) = fold_refunds({}, [(event, NOW)]).values()
    (back,) = fold_refunds({}, [(event, NOW), (succeeded(event, 510), LATER)]).values()
    (lost,) = fold_refunds({}, [(event, NOW), (failed(event), LATER)]).values()

    assert (asked.state, asked.amount, asked.restock, asked.code) == ("REQUESTED", 510, True, None)
    assert (back.state, back.requested_at, back.updated_at) == ("SUCCEEDED", NOW, LATER)
    assert (lost.state, lost.code) == ("FAILED", "expired")
    assert back.lines == asked.lines == event.refunded_lines


def test_what_payment_gives_back_at_a_closing_is_a_refund_that_nobody_asked_for() -> None:
    event = ask(wanted(TOTAL))

    (refund,) = fold_refunds({}, [(succeeded(event, TOTAL), NOW)]).values()

    assert (refund.state, refund.amount, refund.reason) == ("SUCCEEDED", TOTAL, AT_CLOSING)
    assert (refund.requested_by, refund.lines, refund.restock) == ("system", (), False)


def test_a_fact_folds_into_what_was_known_as_into_the_whole_history() -> None:
    event = ask(wanted(10))
    asked = fold_refunds({}, [(event, NOW)])

    assert fold_refunds(asked, [(failed(event), LATER)]) == fold_refunds(
        {}, [(event, NOW), (failed(event), LATER)]
    )
