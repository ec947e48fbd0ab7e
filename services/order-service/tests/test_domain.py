"""Placing, cancelling, and the clocks of an order, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from common.errors import Refusal
from common.message import Event, Received, Said, Stale, uuid7
from order_service.consumers import DECISIONS
from order_service.domain import (
    CancelOrder,
    Health,
    Order,
    Orders,
    Patience,
    Placed,
    PlaceOrder,
    Product,
    SagaStuck,
    Status,
    Stock,
    WantedLine,
    cancel,
    close_again,
    expire,
    miss_completion,
    opened,
    place,
)
from order_service.domain.order import CANCELLABLE
from order_service.domain.placing import MAX_TOTAL
from order_service.messages import (
    AskedLine,
    Money,
    OrderExpired,
    OrderRejected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    StockCommitted,
    StockPartiallyReserved,
    StockRejected,
    StockReleased,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
MINUTE = timedelta(minutes=1)
PATIENCE = Patience()
CATALOGUE = {
    "mug": Product("mug", "A mug", Money(amount=255, currency="GBP")),
    "pot": Product("pot", "A pot", Money(amount=339, currency="GBP")),
    "gift": Product("gift", "A gift", Money(amount=0, currency="GBP")),
    "yacht": Product("yacht", "A yacht", Money(amount=MAX_TOTAL, currency="GBP")),
    "taza": Product("taza", "Una taza", Money(amount=300, currency="EUR")),
}


def wanted(*lines: tuple[str, int]) -> PlaceOrder:
    items = tuple(WantedLine(sku, quantity, n) for n, (sku, quantity) in enumerate(lines))
    return PlaceOrder(ID, CUSTOMER, items, "pm_ok")


def placed(*lines: tuple[str, int]) -> Placed | Refusal:
    return place(wanted(*lines), CATALOGUE, deadline_at=NOW + 15 * MINUTE)


def pending() -> Order:
    order = placed(("mug", 6), ("pot", 2))
    assert isinstance(order, Placed)
    return opened(order.event, NOW)


def after(order: Order, *facts: Event, at: datetime = NOW) -> Order:
    """Let facts be heard, one after the other."""
    for fact in facts:
        orders = Orders([order], now=at, patience=PATIENCE)
        outcome = DECISIONS[type(fact)](orders, fact)
        if not isinstance(outcome, Stale):
            said = [Said(each) for each in outcome.events if isinstance(each, Event)]
            received = Received(fact, uuid7(), b"", fact.TOPIC, 0, 0, at, "c")
            orders.apply(received, outcome.changes, said)
        order = orders.get(ID)
    return order


def said(order: Order, event: Event | SagaStuck, at: datetime) -> Order:
    """Let order-service itself say something."""
    orders = Orders([order], now=at, patience=PATIENCE)
    if isinstance(event, SagaStuck):
        orders.mark_stuck(ID, event, uuid7())
    else:
        orders.record(ID, [Said(event)])
    return orders.get(ID)


AUTHORISED = PaymentAuthorized(order_id=ID)
COMMITTED = StockCommitted(order_id=ID)
CAPTURED = PaymentCaptured(order_id=ID, amount=Money(amount=2208, currency="GBP"))
SHORT = StockRejected(order_id=ID, reason="insufficient_stock")
PARTLY = StockPartiallyReserved(
    order_id=ID, lines=(AskedLine(line_no=1, sku="mug", asked=6, available=1),)
)
RELEASED = StockReleased(order_id=ID, closing=True)
VOIDED = PaymentVoided(order_id=ID, closing=True)


def test_an_order_costs_what_the_catalogue_says() -> None:
    order = placed(("mug", 6), ("pot", 2))

    assert isinstance(order, Placed)
    assert order.event.total == Money(amount=2208, currency="GBP")
    assert [(line.line_no, line.sku, line.unit_price.amount) for line in order.event.lines] == [
        (1, "mug", 255),
        (2, "pot", 339),
    ]
    assert order.names == ("A mug", "A pot")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((("mug", 1), ("cup", 1)), "unknown_product"),
        ((("mug", 1), ("taza", 1)), "currency_mismatch"),
        ((("gift", 3),), "validation_failed"),
        ((("yacht", 2),), "validation_failed"),
    ],
    ids=["unknown sku", "two currencies", "costs nothing", "costs too much"],
)
def test_an_order_that_can_not_be_sold_is_refused(
    lines: tuple[tuple[str, int], ...], code: str
) -> None:
    refusal = placed(*lines)

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == (code, 422)


def test_a_refusal_points_at_each_unknown_product() -> None:
    refusal = placed(("cup", 1), ("mug", 1), ("jar", 1))

    assert isinstance(refusal, Refusal)
    assert [error.pointer for error in refusal.errors] == ["/items/0/sku", "/items/2/sku"]


@pytest.mark.parametrize("status", Status)
def test_an_order_is_cancelled_until_it_is_shipped(status: Status) -> None:
    order = replace(pending(), status=status)
    command = CancelOrder(ID, "customer", CUSTOMER)

    if status in CANCELLABLE:
        assert cancel(order, command).reason == "cancelled_by_customer"
    else:
        with pytest.raises(Refusal, match="invalid_state") as refused:
            cancel(order, command)
        assert refused.value.status == 409


def test_a_partly_reserved_order_waits_for_its_customer_inside_its_deadline() -> None:
    order = after(pending(), PARTLY, at=NOW + MINUTE)

    assert (order.status, order.saga) == (Status.ACTION_REQUIRED, Health.WAITING)
    assert order.deadline_at == NOW + 11 * MINUTE
    assert after(pending(), PARTLY, at=NOW + 9 * MINUTE).deadline_at == NOW + 15 * MINUTE


def test_an_expired_order_says_what_was_waited_for() -> None:
    assert expire(pending()).reason == "deadline_passed"
    assert expire(after(pending(), PARTLY)).reason == "decision_expired"


def test_an_overdue_answer_is_asked_for_again_ever_later_and_then_given_up() -> None:
    order = after(pending(), SHORT)
    asked = []
    while order.closing_due_at is not None:
        due = order.closing_due_at
        asked.append((due - NOW) / MINUTE)
        order = said(order, close_again(order, due, PATIENCE), due)

    assert asked == [2, 6, 14, 30]
    assert (order.status, order.saga) == (Status.REJECTED, Health.STUCK)
    assert order.stuck_reason == "payment_unanswered"


def test_the_closing_that_is_said_again_says_the_same() -> None:
    cancelled = said(pending(), cancel(pending(), CancelOrder(ID, "staff", CUSTOMER)), NOW)

    again = close_again(cancelled, NOW + 2 * MINUTE, PATIENCE)

    assert again == cancel(pending(), CancelOrder(ID, "staff", CUSTOMER))
    assert isinstance(close_again(after(pending(), SHORT), NOW, PATIENCE), OrderRejected)
    assert isinstance(
        close_again(said(pending(), expire(pending()), NOW), NOW, PATIENCE), OrderExpired
    )


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((), "closing_unanswered"),
        ((RELEASED,), "payment_unanswered"),
        ((VOIDED,), "stock_unanswered"),
        (
            (
                RELEASED,
                RefundFailed(
                    order_id=ID, refund_id=ID, amount=CAPTURED.amount, code="x", closing=True
                ),
            ),
            "refund_failed",
        ),
    ],
    ids=["both", "payment", "inventory", "a refund failed"],
)
def test_a_stuck_compensation_names_who_did_not_answer_and_ends_when_they_do(
    answers: tuple[Event, ...], reason: str
) -> None:
    closed = after(said(pending(), expire(pending()), NOW), *answers)

    stuck = said(closed, close_again(closed, NOW + 30 * MINUTE, PATIENCE), NOW + 30 * MINUTE)
    ended = after(stuck, RELEASED, VOIDED, at=NOW + 40 * MINUTE)

    assert (stuck.saga, stuck.stuck_reason) == (Health.STUCK, reason)
    assert not stuck.is_settled
    assert (ended.saga, ended.stuck_reason) == (Health.COMPENSATED, None)
    assert ended.settled_at == NOW + 40 * MINUTE


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ((), "completion_overdue"),
        ((COMMITTED,), "payment_not_captured"),
        ((CAPTURED,), "stock_not_committed"),
    ],
    ids=["both", "money", "stock"],
)
def test_a_confirmed_order_that_hangs_runs_again_when_the_missing_fact_comes(
    facts: tuple[Event, ...], reason: str
) -> None:
    confirmed = after(pending(), AUTHORISED, *facts)
    due = NOW + 30 * MINUTE

    stuck = said(confirmed, miss_completion(confirmed), due)
    missing = [fact for fact in (COMMITTED, CAPTURED) if fact not in facts]
    moving = after(stuck, missing[0], at=due + MINUTE)
    done = after(moving, *missing[1:], at=due + 2 * MINUTE)

    assert confirmed.stuck_at == due
    assert (stuck.saga, stuck.stuck_reason, stuck.stuck_at) == (Health.STUCK, reason, None)
    if missing[1:]:
        assert (moving.saga, moving.stuck_at) == (Health.RUNNING, due + 31 * MINUTE)
    assert (done.status, done.saga, done.stuck_reason) == (Status.COMPLETED, Health.COMPLETED, None)


def test_a_stuck_order_can_still_be_cancelled() -> None:
    confirmed = after(pending(), AUTHORISED)
    stuck = said(confirmed, miss_completion(confirmed), NOW + 30 * MINUTE)

    closed = said(stuck, cancel(stuck, CancelOrder(ID, "customer", CUSTOMER)), NOW + 31 * MINUTE)

    assert (closed.status, closed.saga) == (Status.CANCELLING, Health.COMPENSATING)
    assert closed.stuck_reason is None


def test_a_completed_order_that_is_cancelled_is_unsettled_until_both_have_answered() -> None:
    completed = after(pending(), AUTHORISED, COMMITTED, CAPTURED)
    command = CancelOrder(ID, "customer", CUSTOMER)
    refunded = PaymentRefunded(
        order_id=ID, refund_id=ID, amount=CAPTURED.amount, cumulative=CAPTURED.amount, closing=True
    )

    closing = said(completed, cancel(completed, command), NOW + MINUTE)
    ended = after(closing, RELEASED, refunded, at=NOW + 2 * MINUTE)

    assert completed.settled_at == NOW
    assert closing.settled_at is None
    assert (ended.status, ended.saga) == (Status.CANCELLED, Health.COMPENSATED)
    assert (ended.stock, ended.amount_refunded) == (Stock.RELEASED, 2208)
    assert ended.settled_at == NOW + 2 * MINUTE


def test_the_history_names_its_causes() -> None:
    orders = Orders([pending()], now=NOW, patience=PATIENCE)
    heard = Received(AUTHORISED, uuid7(), b"", "payments.v1", 0, 0, NOW - MINUTE, "c", ID)
    outcome = DECISIONS[PaymentAuthorized](orders, AUTHORISED)
    assert not isinstance(outcome, Stale)
    answers = [Said(e, cause=heard.cause) for e in outcome.events if isinstance(e, Event)]

    orders.apply(heard, (), answers)

    first, second = orders.entries
    assert (first.version, first.type_name, first.service) == (
        2,
        "PaymentAuthorized",
        "payment-service",
    )
    assert (first.event_id, first.causation_id) == (heard.event_id, ID)
    assert (first.occurred_at, first.recorded_at) == (NOW - MINUTE, NOW)
    assert (second.version, second.type_name, second.service) == (
        3,
        "OrderConfirmed",
        "order-service",
    )
    assert (second.event_id, second.causation_id) == (answers[0].event_id, heard.event_id)
