from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Stale, uuid7
from notification_service.consumers import DECISIONS
from notification_service.domain.notices import Desk, Notice, Order
from notification_service.messages import (
    LatePaymentReversed,
    Money,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentRefunded,
    StockPartiallyReserved,
)

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
REFUND = UUID("0198f3a0-0003-7000-8000-000000000003")
POUNDS = Money(amount=1530, currency="GBP")
LINES = (OrderLine(sku="85123A", quantity=6, unit_price=Money(amount=255, currency="GBP")),)

PLACED = OrderPlaced(order_id=ORDER, customer_id=CUSTOMER, lines=LINES, total=POUNDS)
KNOWN_ORDER = Order(ORDER, CUSTOMER, LINES, POUNDS)

TOLD: Sequence[tuple[Event, Notice]] = (
    (StockPartiallyReserved(order_id=ORDER), Notice(ORDER, "decide")),
    (OrderConfirmed(order_id=ORDER), Notice(ORDER, "confirmed")),
    (
        OrderRejected(order_id=ORDER, reason="insufficient_stock"),
        Notice(ORDER, "rejected", reason="insufficient_stock"),
    ),
    (OrderExpired(order_id=ORDER, reason="deadline"), Notice(ORDER, "expired", reason="deadline")),
    (
        OrderCancelled(order_id=ORDER, reason="by_customer"),
        Notice(ORDER, "cancelled", reason="by_customer"),
    ),
    (OrderShipped(order_id=ORDER), Notice(ORDER, "shipped")),
    (
        PaymentRefunded(order_id=ORDER, refund_id=REFUND, amount=POUNDS),
        Notice(ORDER, "refunded", str(REFUND), money=POUNDS),
    ),
    (
        LatePaymentReversed(order_id=ORDER, amount=POUNDS),
        Notice(ORDER, "reversed", money=POUNDS),
    ),
)

STATES: Mapping[str, tuple[bool, bool]] = {
    "nothing known": (False, False),
    "order known": (True, False),
    "told already": (False, True),
    "order known and told already": (True, True),
}


def name_of(value: object) -> str:
    return type(value).__name__ if isinstance(value, Event) else ""


def decide(desk: Desk, event: Event) -> Outcome | Stale:
    return DECISIONS[type(event)](desk, event)


def test_the_table_covers_every_event_that_is_heard() -> None:
    assert set(DECISIONS) == {OrderPlaced} | {type(event) for event, _ in TOLD}


@pytest.mark.parametrize(("order_known", "told"), STATES.values(), ids=STATES.keys())
@pytest.mark.parametrize(("event", "notice"), TOLD, ids=name_of)
def test_a_customer_is_told_of_each_fact_once_whatever_came_first(
    event: Event, notice: Notice, *, order_known: bool, told: bool
) -> None:
    desk = Desk({ORDER} if order_known else set(), {notice.key} if told else set())

    outcome = decide(desk, event)

    assert isinstance(outcome, Stale) if told else outcome == Outcome((notice,))


@pytest.mark.parametrize(("order_known", "told"), STATES.values(), ids=STATES.keys())
def test_an_order_is_noted_once_also_after_its_notices(*, order_known: bool, told: bool) -> None:
    notices = {notice.key for _, notice in TOLD} if told else set()
    desk = Desk({ORDER} if order_known else set(), notices)

    outcome = decide(desk, PLACED)

    assert isinstance(outcome, Stale) if order_known else outcome == Outcome((KNOWN_ORDER,))


def test_the_same_fact_twice_in_one_batch_makes_one_notice() -> None:
    desk = Desk()
    event = OrderConfirmed(order_id=ORDER)
    for _ in range(2):
        outcome = decide(desk, event)
        if isinstance(outcome, Outcome):
            desk.apply(_received(event), outcome.changes, ())

    assert desk.new_notices == [Notice(ORDER, "confirmed")]


def _received(event: Event) -> Received:
    return Received(
        event=event,
        event_id=uuid7(),
        key=event.key().encode(),
        topic=event.TOPIC,
        partition=0,
        offset=0,
        occurred_at=datetime(2025, 8, 29, tzinfo=UTC),
        correlation_id="test",
    )


def test_two_refunds_of_one_order_are_two_messages() -> None:
    other = UUID("0198f3a0-0005-7000-8000-000000000005")
    desk = Desk(notices={(ORDER, "refunded", str(REFUND))})

    outcome = decide(desk, PaymentRefunded(order_id=ORDER, refund_id=other, amount=POUNDS))

    assert isinstance(outcome, Outcome)


@pytest.mark.parametrize(
    ("notice", "message_id"),
    [
        (Notice(ORDER, "confirmed"), f"<{ORDER}.confirmed.-@pedido>"),
        (Notice(ORDER, "refunded", str(REFUND)), f"<{ORDER}.refunded.{REFUND}@pedido>"),
    ],
    ids=["no subject", "a refund"],
)
def test_a_message_id_says_what_the_message_says(notice: Notice, message_id: str) -> None:
    assert notice.message_id == message_id
