from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Stale, uuid7
from notification_service.consumers import DECISIONS
from notification_service.domain import letters, words
from notification_service.domain.letters import (
    Customer,
    Delivered,
    Letter,
    PutOff,
    Refused,
    Unwanted,
)
from notification_service.domain.notices import Desk, Notice, Order
from notification_service.messages import (
    Kind,
    LatePaymentReversed,
    Money,
    NotificationFailed,
    NotificationSent,
    NotificationSuppressed,
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
TOKEN = UUID("0198f3a0-0004-7000-8000-000000000004")
POUNDS = Money(amount=1530, currency="GBP")
LINES = (OrderLine(sku="85123A", quantity=6, unit_price=Money(amount=255, currency="GBP")),)
TWO_DAYS = timedelta(days=2)

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


def letter(
    kind: Kind = "confirmed",
    *,
    language: str = "en",
    money: Money | None = None,
    attempt: int = 1,
    age: timedelta = timedelta(),
) -> Letter:
    return Letter(
        notice=Notice(ORDER, kind, money=money),
        order=KNOWN_ORDER,
        customer=Customer(CUSTOMER, "ada@example.com", "Ada", language),
        token=TOKEN,
        attempt=attempt,
        age=age,
    )


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


def test_a_delivered_letter_is_sent_and_announced() -> None:
    settled = letters.settle(letter(), Delivered(), give_up_after=TWO_DAYS)

    assert (settled.status, settled.reason) == ("SENT", None)
    assert settled.event == NotificationSent(
        order_id=ORDER,
        customer_id=CUSTOMER,
        kind="confirmed",
        subject="",
        channel="email",
        language="en",
        template="confirmed",
    )


def test_a_refused_letter_has_failed_and_says_why() -> None:
    settled = letters.settle(letter(), Refused("smtp_550"), give_up_after=TWO_DAYS)

    assert settled.status == "FAILED"
    assert isinstance(settled.event, NotificationFailed)
    assert settled.event.reason == "smtp_550"


def test_a_letter_to_nobody_is_suppressed() -> None:
    settled = letters.settle(letter(), Unwanted("customer_erased"), give_up_after=TWO_DAYS)

    assert settled.status == "SUPPRESSED"
    assert isinstance(settled.event, NotificationSuppressed)


@pytest.mark.parametrize(
    ("attempt", "delay"),
    [
        (1, timedelta(seconds=2)),
        (3, timedelta(seconds=8)),
        (10, timedelta(minutes=15)),
        (5_000, timedelta(minutes=15)),
    ],
    ids=["first", "third", "tenth", "very many"],
)
def test_a_letter_put_off_waits_longer_each_time(attempt: int, delay: timedelta) -> None:
    put_off = letter(attempt=attempt)

    settled = letters.settle(put_off, PutOff("smtp_451"), give_up_after=TWO_DAYS)

    assert (settled.status, settled.event, settled.delay) == ("PENDING", None, delay)


def test_a_letter_put_off_for_too_long_has_failed() -> None:
    settled = letters.settle(letter(age=TWO_DAYS), PutOff("timeout"), give_up_after=TWO_DAYS)

    assert (settled.status, settled.reason) == ("FAILED", "gave_up_after_timeout")


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_has_words_in_every_language(kind: Kind, language: str) -> None:
    text = words.write(letter(kind, language=language, money=POUNDS))

    assert str(ORDER) in text.body
    assert "6 x 85123A" in text.body
    assert "15.30 GBP" in text.body
    assert "{" not in text.subject + text.body


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [("es", "es"), ("es-MX", "es"), ("ES", "es"), ("fr", "en"), ("", "en")],
    ids=["spoken", "regional", "upper case", "not spoken", "empty"],
)
def test_a_customer_is_written_to_in_a_language_that_we_speak(asked: str, spoken: str) -> None:
    assert letter(language=asked).language == spoken


@pytest.mark.parametrize(
    ("money", "written"),
    [
        (Money(amount=123456, currency="GBP"), "1,234.56 GBP"),
        (Money(amount=5, currency="EUR"), "0.05 EUR"),
        (Money(amount=500, currency="JPY"), "500 JPY"),
        (Money(amount=1234, currency="KWD"), "1.234 KWD"),
    ],
    ids=["pounds", "cents", "yen", "dinars"],
)
def test_money_is_written_by_its_own_exponent(money: Money, written: str) -> None:
    assert words.amount(money) == written


def test_an_address_does_not_show_where_a_letter_is_printed() -> None:
    assert "ada@example.com" not in repr(letter())
