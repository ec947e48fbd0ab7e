from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Stale, uuid7
from notification_service.consumers import DECISIONS
from notification_service.domain.notices import Amendment, Desk, Notice, Order
from notification_service.messages import (
    AskedLine,
    LatePaymentReversed,
    Money,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderDelivered,
    OrderExpired,
    OrderLine,
    OrderLinesAmended,
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
HELD = (AskedLine(sku="85123A", available=2),)
TAKEN = (OrderLine(sku="85123A", quantity=2, unit_price=Money(amount=255, currency="GBP")),)
AMENDED = OrderLinesAmended(order_id=ORDER, lines=TAKEN, total=Money(amount=510, currency="GBP"))
KNOWN_ORDER = Order(ORDER, CUSTOMER, LINES, POUNDS)

TOLD: Sequence[tuple[Event, Notice]] = (
    (StockPartiallyReserved(order_id=ORDER, lines=HELD), Notice(ORDER, "decide", offer=HELD)),
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
    silent = {OrderPlaced, OrderLinesAmended, OrderCompleted, OrderDelivered}

    assert set(DECISIONS) == silent | {type(event) for event, _ in TOLD}


@pytest.mark.parametrize(("order_known", "told"), STATES.values(), ids=STATES.keys())
@pytest.mark.parametrize(("event", "notice"), TOLD, ids=name_of)
def test_a_customer_is_told_of_each_fact_once_whatever_came_first(
    event: Event, notice: Notice, *, order_known: bool, told: bool
) -> None:
    desk = Desk(orders={ORDER} if order_known else set(), notices={notice.key} if told else set())

    outcome = decide(desk, event)

    assert isinstance(outcome, Stale) if told else outcome == Outcome((notice,))


@pytest.mark.parametrize(("order_known", "told"), STATES.values(), ids=STATES.keys())
def test_an_order_is_noted_once_also_after_its_notices(*, order_known: bool, told: bool) -> None:
    notices = {notice.key for _, notice in TOLD} if told else set()
    desk = Desk(orders={ORDER} if order_known else set(), notices=notices)

    outcome = decide(desk, PLACED)

    assert isinstance(outcome, Stale) if order_known else outcome == Outcome((KNOWN_ORDER,))


@pytest.mark.parametrize("order_known", [False, True], ids=["ahead of the order", "after it"])
def test_what_the_customer_took_is_noted_once(*, order_known: bool) -> None:
    desk = Desk(orders={ORDER} if order_known else set())

    first = decide(desk, AMENDED)
    assert isinstance(first, Outcome)
    desk.apply(_received(AMENDED), first.changes, ())
    second = decide(desk, AMENDED)

    assert first.changes == (Amendment(ORDER, TAKEN, AMENDED.total),)
    assert isinstance(second, Stale)


def test_the_offer_is_what_is_held_for_what_it_costs() -> None:
    gone = AskedLine(sku="POST", available=0)
    unknown = AskedLine(sku="ELSE", available=9)

    shown = KNOWN_ORDER.cut_to((*HELD, gone, unknown))

    assert shown == Order(ORDER, CUSTOMER, TAKEN, AMENDED.total)


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


@pytest.mark.parametrize("event", [OrderCompleted, OrderDelivered])
def test_what_merchants_alone_are_told_owes_the_customer_nothing(
    event: type[OrderCompleted | OrderDelivered],
) -> None:
    assert DECISIONS[event](Desk(), event(order_id=ORDER)) == Outcome()
