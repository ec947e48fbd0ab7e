from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import pytest
from common.errors import Refusal
from common.message import Event, uuid7
from order_service.domain import (
    Choice,
    DecideOrder,
    Health,
    Order,
    Orders,
    Patience,
    Recorded,
    Status,
    Stock,
    decide,
    expire,
    opened,
    refold,
)
from order_service.domain.decisions import ask_customer, capture
from order_service.domain.fold import evolve
from order_service.domain.order import ImpossibleFact
from order_service.messages import (
    AskedLine,
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderLine,
    OrderLinesAmended,
    OrderPlaced,
    PaymentCaptured,
    StockPartiallyReserved,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ID = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
PATIENCE = Patience()


def pounds(amount: int) -> Money:
    return Money(amount=amount, currency="GBP")


def line(line_no: int, sku: str, quantity: int, price: int) -> OrderLine:
    return OrderLine(line_no=line_no, sku=sku, quantity=quantity, unit_price=pounds(price))


LINES = (line(1, "mug", 6, 255), line(2, "pot", 2, 339), line(3, "jar", 1, 100))
PLACED = OrderPlaced(
    order_id=ID,
    customer_id=CUSTOMER,
    lines=LINES,
    total=pounds(2308),
    payment_method="pm_ok",
    deadline_at=NOW + 15 * MINUTE,
)


def partly(*held: int) -> StockPartiallyReserved:
    asked = (
        AskedLine(line_no=each.line_no, sku=each.sku, asked=each.quantity, available=available)
        for each, available in zip(LINES, held, strict=True)
    )
    return StockPartiallyReserved(order_id=ID, lines=tuple(asked))


def after(order: Order, *facts: Event, at: datetime = NOW) -> Order:
    for fact in facts:
        order = evolve(order, fact, at=at, patience=PATIENCE)
    return order


def short(at: datetime = NOW) -> Order:
    return after(opened(PLACED, NOW), partly(6, 1, 0), at=at)


def choose(choice: Choice, by: Literal["customer", "staff"] = "customer") -> DecideOrder:
    return DecideOrder(ID, choice, by, uuid7())


ACCEPT, LEAVE = choose(Choice.ACCEPT_PARTIAL), choose(Choice.CANCEL)


def test_the_customer_who_accepts_gets_what_is_held_at_its_price() -> None:
    amended = decide(short(), ACCEPT, lines=LINES, now=NOW)

    assert amended == OrderLinesAmended(
        order_id=ID,
        lines=(line(1, "mug", 6, 255), line(2, "pot", 1, 339)),
        total=pounds(6 * 255 + 339),
    )


def test_an_order_that_was_accepted_in_part_goes_on_in_its_own_time() -> None:
    order = short(at=NOW + MINUTE)
    assert (order.status, order.saga, order.offer) == (
        Status.ACTION_REQUIRED,
        Health.WAITING,
        {1: 6, 2: 1},
    )
    assert order.deadline_at == NOW + 11 * MINUTE

    order = after(order, decide(order, ACCEPT, lines=LINES, now=NOW), at=NOW + 2 * MINUTE)

    assert (order.status, order.saga, order.offer) == (Status.PENDING, Health.RUNNING, None)
    assert (order.total, order.stock) == (6 * 255 + 339, Stock.PARTIAL)
    assert (order.deadline_at, order.own_deadline_at) == (NOW + 15 * MINUTE, None)


@pytest.mark.parametrize("by", ["customer", "staff"])
def test_whoever_leaves_it_cancels_the_order(by: Literal["customer", "staff"]) -> None:
    order = short()

    event = decide(order, choose(Choice.CANCEL, by), lines=LINES, now=NOW)

    assert isinstance(event, OrderCancelRequested)
    assert (event.reason, event.by) == (f"cancelled_by_{by}", by)
    assert after(order, event).offer is None


def test_more_than_was_ordered_is_never_offered() -> None:
    order = after(opened(PLACED, NOW), partly(9, 0, 0))

    amended = decide(order, ACCEPT, lines=LINES, now=NOW)

    assert isinstance(amended, OrderLinesAmended)
    assert amended.lines == (LINES[0],)


@pytest.mark.parametrize("command", [ACCEPT, LEAVE], ids=["accept", "cancel"])
@pytest.mark.parametrize(
    "order",
    [short(), after(short(), expire(short()))],
    ids=["before the timer has fired", "after it has"],
)
def test_a_decision_that_comes_too_late_is_told_so(order: Order, command: DecideOrder) -> None:
    with pytest.raises(Refusal, match="decision_expired") as refused:
        decide(order, command, lines=LINES, now=NOW + 10 * MINUTE)

    assert refused.value.status == 410


@pytest.mark.parametrize("command", [ACCEPT, LEAVE], ids=["accept", "cancel"])
@pytest.mark.parametrize("status", set(Status) - {Status.ACTION_REQUIRED})
def test_an_order_that_is_not_short_is_not_decided_on(status: Status, command: DecideOrder) -> None:
    order = replace(opened(PLACED, NOW), status=status, reason="deadline_passed")

    with pytest.raises(Refusal, match="invalid_state") as refused:
        decide(order, command, lines=LINES, now=NOW)

    assert refused.value.status == 409


def test_a_part_that_is_nothing_is_no_fact() -> None:
    orders = Orders([opened(PLACED, NOW)], now=NOW, patience=PATIENCE)

    with pytest.raises(ImpossibleFact):
        ask_customer(orders, partly(0, 0, 0))


def test_nothing_but_the_amended_total_is_captured() -> None:
    order = short()
    confirmed = OrderConfirmed(order_id=ID, customer_id=CUSTOMER)
    order = after(order, decide(order, ACCEPT, lines=LINES, now=NOW), confirmed)
    orders = Orders([order], now=NOW, patience=PATIENCE)

    with pytest.raises(ImpossibleFact):
        capture(orders, PaymentCaptured(order_id=ID, amount=PLACED.total))
    capture(orders, PaymentCaptured(order_id=ID, amount=pounds(6 * 255 + 339)))


def test_the_history_makes_the_amended_order() -> None:
    order = short(at=NOW + MINUTE)
    amended = decide(order, ACCEPT, lines=LINES, now=NOW)
    history = [
        Recorded(PLACED, NOW),
        Recorded(partly(6, 1, 0), NOW + MINUTE),
        Recorded(amended, NOW + 2 * MINUTE),
    ]

    assert refold(history, PATIENCE) == after(order, amended, at=NOW + 2 * MINUTE)
