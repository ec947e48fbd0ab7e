from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from notification_service.domain import letters
from notification_service.domain.letters import (
    Customer,
    Delivered,
    Letter,
    PutOff,
    Refused,
    Untried,
    Unwanted,
)
from notification_service.domain.notices import Notice, Order
from notification_service.messages import (
    AskedLine,
    Kind,
    Money,
    NotificationFailed,
    NotificationSent,
    NotificationSuppressed,
    OrderLine,
)

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
NOTICE = UUID("0198f3a0-0005-7000-8000-000000000005")
TOKEN = UUID("0198f3a0-0004-7000-8000-000000000004")
POUNDS = Money(amount=1530, currency="GBP")
LINES = (OrderLine(sku="85123A", quantity=6, unit_price=Money(amount=255, currency="GBP")),)
KNOWN_ORDER = Order(ORDER, CUSTOMER, LINES, POUNDS)
TWO_DAYS = timedelta(days=2)


def letter(
    kind: Kind = "confirmed",
    *,
    language: str = "en",
    money: Money | None = None,
    attempt: int = 1,
    age: timedelta = timedelta(),
) -> Letter:
    return Letter(
        notice_id=NOTICE,
        notice=Notice(ORDER, kind, money=money),
        order=KNOWN_ORDER,
        customer=Customer(CUSTOMER, "ada@example.com", "Ada", language),
        token=TOKEN,
        attempt=attempt,
        age=age,
        lease_ends=0.0,
    )


def test_a_letter_that_asks_for_a_decision_shows_the_offer_alone() -> None:
    asked = replace(
        letter(), notice=Notice(ORDER, "decide", offer=(AskedLine(sku="85123A", available=2),))
    )

    shown = asked.content.order

    assert shown is not None
    assert [(line.sku, line.quantity) for line in shown.lines] == [("85123A", 2)]
    assert shown.total == Money(amount=510, currency="GBP")
    assert letter().content.order == KNOWN_ORDER


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


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [("es", "es"), ("es-MX", "es"), ("ES", "es"), ("fr", "en"), ("", "en")],
    ids=["spoken", "regional", "upper case", "not spoken", "empty"],
)
def test_a_customer_is_written_to_in_a_language_that_we_speak(asked: str, spoken: str) -> None:
    assert letter(language=asked).content.language == spoken


def test_an_address_does_not_show_where_a_letter_is_printed() -> None:
    assert "ada@example.com" not in repr(letter())


def test_a_letter_whose_turn_came_too_late_is_due_at_once_and_fails_at_no_age() -> None:
    settled = letters.settle(letter(age=2 * TWO_DAYS), Untried(), give_up_after=TWO_DAYS)

    assert (settled.status, settled.delay, settled.event) == ("PENDING", timedelta(), None)
