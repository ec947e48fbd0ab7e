"""Every fact in every situation: order-service's column of the table of who does what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Said, Stale, uuid7
from order_service.consumers import DECISIONS
from order_service.domain import (
    Health,
    ImpossibleFact,
    Order,
    Orders,
    Patience,
    Payment,
    Status,
    Stock,
    UnknownOrder,
)
from order_service.domain.order import CLOSED, OPEN
from order_service.messages import (
    AskedLine,
    LatePaymentReversed,
    Money,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    StockCommitted,
    StockPartiallyReserved,
    StockRejected,
    StockReleased,
    StockReserved,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
REFUND = UUID("0198f3a0-0004-7000-8000-000000000004")
TOTAL, PART = Money(amount=2208, currency="GBP"), Money(amount=500, currency="GBP")

FACTS: dict[str, Event] = {
    "Rs": StockReserved(order_id=ID),
    "Pa": StockPartiallyReserved(
        order_id=ID, lines=(AskedLine(line_no=1, sku="mug", asked=6, available=1),)
    ),
    "Rj": StockRejected(order_id=ID, reason="insufficient_stock"),
    "Co": StockCommitted(order_id=ID),
    "L+": StockReleased(order_id=ID, closing=True),
    "Le": StockReleased(order_id=ID, closing=False, refund_id=REFUND),
    "Au": PaymentAuthorized(order_id=ID),
    "De": PaymentDeclined(order_id=ID, code="insufficient_funds"),
    "Ca": PaymentCaptured(order_id=ID, amount=TOTAL),
    "CF": PaymentCaptureFailed(order_id=ID, code="expired_card"),
    "V+": PaymentVoided(order_id=ID, closing=True),
    "Vo": PaymentVoided(order_id=ID, closing=False),
    "F+": PaymentRefunded(
        order_id=ID, refund_id=REFUND, amount=TOTAL, cumulative=TOTAL, closing=True
    ),
    "Rf": PaymentRefunded(
        order_id=ID, refund_id=REFUND, amount=PART, cumulative=PART, closing=False
    ),
    "FF": RefundFailed(order_id=ID, refund_id=REFUND, amount=PART, code="expired", closing=False),
    "La": LatePaymentReversed(order_id=ID, amount=TOTAL),
}
"""The facts that are heard; + means that it answers a closing."""

MEANING = {
    "C": "OrderConfirmed",
    "D": "OrderCompleted",
    "R": "OrderRejected",
    "Q": "OrderCancelRequested",
    "X": "OrderCancelled",
    ".": "noted",
    "s": "stale",
    "!": "impossible",
}

TABLE = """
status          stock     payment    closed  Rs Pa Rj Co L+ Le Au De Ca CF V+ Vo F+ Rf FF La
PENDING         NONE      NONE       -       .  .  R  !  !  .  C  R  !  !  !  .  !  !  .  .
PENDING         RESERVED  NONE       -       s  s  s  !  !  .  C  R  !  !  !  .  !  !  .  .
ACTION_REQUIRED PARTIAL   NONE       -       s  s  s  !  !  .  .  !  !  !  !  .  !  !  .  .
CONFIRMED       NONE      AUTHORIZED -       .  !  !  .  !  .  s  s  .  Q  !  .  !  .  .  .
CONFIRMED       RESERVED  AUTHORIZED -       s  s  s  .  !  .  s  s  .  Q  !  .  !  .  .  .
CONFIRMED       COMMITTED AUTHORIZED -       s  s  s  s  !  .  s  s  D  Q  !  .  !  .  .  .
CONFIRMED       RESERVED  CAPTURED   -       s  s  s  D  !  .  s  s  s  s  !  s  !  .  .  .
COMPLETED       COMMITTED CAPTURED   -       s  s  s  s  !  .  s  s  s  s  !  s  !  .  .  .
SHIPPED         COMMITTED CAPTURED   -       s  s  s  s  !  .  s  s  s  s  !  s  !  .  .  .
DELIVERED       COMMITTED CAPTURED   -       s  s  s  s  !  .  s  s  s  s  !  s  !  .  .  .
CANCELLING      NONE      NONE       -       .  .  .  .  .  .  .  .  .  s  .  .  .  .  .  .
CANCELLING      RESERVED  AUTHORIZED -       s  s  s  .  .  .  s  s  .  s  .  .  .  .  .  .
CANCELLING      COMMITTED CAPTURED   -       s  s  s  s  .  .  s  s  s  s  .  s  .  .  .  .
CANCELLING      RELEASED  NONE       stock   s  s  s  s  s  .  .  X  .  s  X  .  X  .  .  .
CANCELLING      RELEASED  AUTHORIZED stock   s  s  s  s  s  .  s  s  .  s  X  .  X  .  .  .
CANCELLING      RELEASED  CAPTURED   stock   s  s  s  s  s  .  s  s  s  s  X  s  X  .  .  .
CANCELLING      NONE      VOIDED     payment .  .  X  .  X  .  s  s  s  s  s  s  .  .  .  .
CANCELLING      RESERVED  REFUNDED   payment s  s  s  .  X  .  s  s  s  s  s  s  .  .  .  .
CANCELLED       RELEASED  VOIDED     both    s  s  s  s  s  .  s  s  s  s  s  s  .  .  .  .
REJECTED        REJECTED  NONE       stock   s  s  s  s  s  .  .  .  !  s  .  .  .  !  .  .
REJECTED        RESERVED  DECLINED   payment s  s  s  !  .  .  s  s  s  s  s  s  !  !  .  .
REJECTED        NONE      DECLINED   payment .  .  .  !  .  .  s  s  s  s  s  s  !  !  .  .
REJECTED        REJECTED  VOIDED     both    s  s  s  s  s  .  s  s  s  s  s  s  !  !  .  .
EXPIRED         NONE      NONE       -       .  .  .  !  .  .  .  .  !  s  .  .  .  !  .  .
EXPIRED         PARTIAL   NONE       -       s  s  s  !  .  .  .  .  !  s  .  .  .  !  .  .
EXPIRED         RELEASED  AUTHORIZED stock   s  s  s  s  s  .  s  s  !  s  .  .  .  !  .  .
EXPIRED         RELEASED  VOIDED     both    s  s  s  s  s  .  s  s  s  s  s  s  !  !  .  .
"""

LEGAL = {
    Status.PENDING: "PENDING ACTION_REQUIRED CONFIRMED REJECTED CANCELLING EXPIRED",
    Status.ACTION_REQUIRED: "ACTION_REQUIRED PENDING CANCELLING EXPIRED",
    Status.CONFIRMED: "CONFIRMED COMPLETED CANCELLING",
    Status.COMPLETED: "COMPLETED SHIPPED CANCELLING",
    Status.SHIPPED: "SHIPPED DELIVERED",
    Status.DELIVERED: "DELIVERED",
    Status.CANCELLING: "CANCELLING CANCELLED",
    Status.CANCELLED: "CANCELLED",
    Status.REJECTED: "REJECTED",
    Status.EXPIRED: "EXPIRED",
}
"""What each status may become, as the design has it."""


def order(status: str, stock: str, payment: str, closed: str) -> Order:
    state = Status(status)
    confirmed = state not in {*OPEN, Status.REJECTED, Status.EXPIRED}
    answered = closed == "both"
    over = state in CLOSED
    captured = TOTAL.amount if payment in {"CAPTURED", "REFUNDED"} else 0
    return Order(
        order_id=ID,
        customer_id=CUSTOMER,
        total=TOTAL.amount,
        currency=TOTAL.currency,
        deadline_at=NOW + timedelta(minutes=15),
        created_at=NOW,
        updated_at=NOW,
        version=7,
        status=state,
        saga=_health(state, answered=answered),
        stock=Stock(stock),
        payment=Payment(payment),
        reason="some_reason" if over else None,
        closed_by="system" if over else None,
        stock_closed=closed in {"stock", "both"},
        payment_closed=closed in {"payment", "both"},
        amount_captured=captured,
        amount_refunded=0,
        confirmed_at=NOW if confirmed else None,
    )


def _health(status: Status, *, answered: bool) -> Health:
    if status in {Status.COMPLETED, Status.SHIPPED, Status.DELIVERED}:
        return Health.COMPLETED
    if status in CLOSED:
        return Health.COMPENSATED if answered else Health.COMPENSATING
    return Health.WAITING if status is Status.ACTION_REQUIRED else Health.RUNNING


def hear(before: Order, fact: Event) -> tuple[str, Order]:
    """Decide on a fact and fold it in; answer what was said, in the table's words."""
    orders = Orders([before], now=NOW, patience=Patience())
    try:
        outcome = DECISIONS[type(fact)](orders, fact)
    except ImpossibleFact:
        return "impossible", before
    if isinstance(outcome, Stale):
        return "stale", before
    assert isinstance(outcome, Outcome)
    said = [Said(event) for event in outcome.events if isinstance(event, Event)]
    orders.apply(received(fact), outcome.changes, said)
    names = [type(each.event).__name__ for each in said]
    return "+".join(names) or "noted", orders.get(ID)


def received(fact: Event) -> Received:
    return Received(
        event=fact,
        event_id=uuid7(),
        key=fact.key().encode(),
        topic=fact.TOPIC,
        partition=0,
        offset=0,
        occurred_at=NOW,
        correlation_id="c",
    )


def cells() -> list[tuple[str, str, str, str, str, str]]:
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        (row[0], row[1], row[2], row[3], fact, MEANING[cell])
        for row in rows
        for fact, cell in zip(header[4:], row[4:], strict=True)
    ]


@pytest.mark.parametrize(
    ("status", "stock", "payment", "closed", "fact", "expected"),
    cells(),
    ids=str,
)
def test_each_fact_has_its_outcome(
    status: str, stock: str, payment: str, closed: str, fact: str, expected: str
) -> None:
    said, _ = hear(order(status, stock, payment, closed), FACTS[fact])

    assert said == expected


def test_the_table_knows_every_status_and_every_fact_that_is_heard() -> None:
    assert {status for status, *_ in cells()} == set(Status)
    assert {type(fact) for fact in FACTS.values()} == set(DECISIONS)


def everything() -> list[Order]:
    """Make every combination, also those that can't be reached: nothing may be guessed from a row.

    Only a closed order has answers, and a saga is as its status has it, or stuck.
    """
    return [
        stuck if hangs else plain
        for status, stock, payment in product(Status, Stock, Payment)
        for closed in (("-", "stock", "payment", "both") if status in CLOSED else ("-",))
        for plain in [order(status, stock, payment, closed)]
        for stuck in [replace(plain, saga=Health.STUCK, stuck_reason="some_reason")]
        for hangs in (False, True)
    ]


@pytest.mark.parametrize("name", FACTS)
def test_whatever_the_row_says_only_legal_moves_are_made_and_a_repeat_changes_nothing(
    name: str,
) -> None:
    fact = FACTS[name]
    for before in everything():
        said, after = hear(before, fact)

        assert after.status in LEGAL[before.status].split(), (said, before)
        assert after.amount_refunded <= after.amount_captured <= after.total
        assert before.settled_at is None or after.status is before.status
        assert after is before or after.version > before.version
        assert hear(after, fact)[0] in {"stale", "impossible"}, (said, before)


@pytest.mark.parametrize("fact", FACTS.values(), ids=FACTS.keys())
def test_a_fact_about_an_order_that_was_never_placed_is_not_dropped(fact: Event) -> None:
    orders = Orders([], now=NOW, patience=Patience())

    with pytest.raises(UnknownOrder):
        DECISIONS[type(fact)](orders, fact)


@pytest.mark.parametrize(
    "money", [Money(amount=2207, currency="GBP"), Money(amount=2208, currency="EUR")]
)
def test_money_that_is_not_the_orders_own_is_no_capture(money: Money) -> None:
    confirmed = order("CONFIRMED", "RESERVED", "AUTHORIZED", "-")

    assert hear(confirmed, PaymentCaptured(order_id=ID, amount=money))[0] == "impossible"


@pytest.mark.parametrize(
    "money", [Money(amount=2209, currency="GBP"), Money(amount=1, currency="EUR")]
)
def test_more_than_the_order_costs_is_never_refunded(money: Money) -> None:
    refund = PaymentRefunded(
        order_id=ID, refund_id=REFUND, amount=money, cumulative=money, closing=False
    )

    assert hear(order("COMPLETED", "COMMITTED", "CAPTURED", "-"), refund)[0] == "impossible"


def test_a_refund_that_was_made_does_not_fail_afterwards() -> None:
    """Its lines would be free to be given back again."""
    _, made = hear(order("COMPLETED", "COMMITTED", "CAPTURED", "-"), FACTS["Rf"])

    assert hear(made, FACTS["FF"]) == ("stale", made)
