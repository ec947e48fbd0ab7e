"""What is asked of the provider next, and what each event does to a payment in each state."""

from dataclasses import replace
from itertools import permutations, product
from uuid import UUID

import pytest
from common.message import Event, Outcome
from payment_service.consumers import DECISIONS
from payment_service.domain.payment import (
    Attempt,
    Book,
    Goods,
    Have,
    Kind,
    Operation,
    Payment,
    Refund,
    RefundStatus,
    Wanted,
    next_operation,
)
from payment_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    StockPartiallyReserved,
    StockReserved,
)

CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
REFUND = UUID("0198f3a0-0004-7000-8000-000000000004")
OTHER = UUID("0198f3a0-0004-7000-8000-000000000005")
TOTAL = Money(amount=2208, currency="GBP")
SMALLER = Money(amount=678, currency="GBP")

BLANK = Payment(ORDER)
PLACED = replace(BLANK, amount=2208, currency="GBP", payment_method="pm_ok")
WHOLE = replace(PLACED, goods=Goods.WHOLE)
AUTHORIZED = replace(WHOLE, wanted=Wanted.AUTHORIZED, have=Have.AUTHORIZED, intent_id="pi_1")
CAPTURED = replace(AUTHORIZED, wanted=Wanted.CAPTURED, have=Have.CAPTURED, captured=2208)
ASKED = Refund(REFUND, 678)
PAIRS = list(product(Wanted, Have))

NEXT = {
    (Wanted.AUTHORIZED, Have.NONE): Operation(Kind.AUTHORIZE),
    (Wanted.CAPTURED, Have.NONE): Operation(Kind.AUTHORIZE),
    (Wanted.CAPTURED, Have.AUTHORIZED): Operation(Kind.CAPTURE),
    (Wanted.CLOSED, Have.AUTHORIZED): Operation(Kind.VOID),
    (Wanted.CLOSED, Have.CAPTURE_FAILED): Operation(Kind.VOID),
    (Wanted.CLOSED, Have.CAPTURED): Operation(Kind.REFUND, BLANK.close_refund_id),
}
"""Whatever is not here asks nothing of the provider."""


@pytest.mark.parametrize(("wanted", "have"), PAIRS)
def test_each_pair_of_wanted_and_had_leads_to_one_operation(wanted: Wanted, have: Have) -> None:
    payment = replace(WHOLE, wanted=wanted, have=have)

    assert next_operation(payment) == NEXT.get((wanted, have))


@pytest.mark.parametrize(("wanted", "have"), PAIRS)
def test_without_amount_method_and_goods_nothing_is_authorised(wanted: Wanted, have: Have) -> None:
    expected = None if have is Have.NONE else NEXT.get((wanted, have))

    payment = replace(WHOLE, wanted=wanted, have=have)
    for unplaced in (
        replace(payment, amount=None),
        replace(payment, payment_method=None),
        replace(payment, goods=Goods.UNKNOWN),
        replace(payment, goods=Goods.PART),
    ):
        assert next_operation(unplaced) == expected


@pytest.mark.parametrize(("wanted", "have"), PAIRS)
def test_a_refund_asked_for_comes_first_while_money_is_captured(wanted: Wanted, have: Have) -> None:
    payment = replace(WHOLE, wanted=wanted, have=have, refunds=(ASKED,))

    expected = Operation(Kind.REFUND, REFUND) if have is Have.CAPTURED else NEXT.get((wanted, have))
    assert next_operation(payment) == expected


def waiting(payment: Payment, kind: Kind, *, calls: int, refund: UUID | None = None) -> Payment:
    return replace(payment, attempt=Attempt(Operation(kind, refund), calls=calls))


RESERVED = replace(BLANK, wanted=Wanted.AUTHORIZED, goods=Goods.WHOLE)
DUE = waiting(replace(WHOLE, wanted=Wanted.AUTHORIZED), Kind.AUTHORIZE, calls=0)
CALLED = waiting(DUE, Kind.AUTHORIZE, calls=1)
AGREED = replace(DUE, amount=678, goods=Goods.AGREED)
CLOSED = replace(WHOLE, wanted=Wanted.CLOSED, answered=True)

STATES = {
    "never seen": BLANK,
    "placed": PLACED,
    "reserved first": RESERVED,
    "partly there": replace(PLACED, goods=Goods.PART),
    "confirmed first": replace(PLACED, wanted=Wanted.CAPTURED),
    "agreed": AGREED,
    "authorisation due": DUE,
    "authorising": CALLED,
    "authorised": AUTHORIZED,
    "declined": replace(DUE, have=Have.DECLINED, attempt=None),
    "capturing": waiting(replace(AUTHORIZED, wanted=Wanted.CAPTURED), Kind.CAPTURE, calls=1),
    "capture failed": replace(AUTHORIZED, wanted=Wanted.CAPTURED, have=Have.CAPTURE_FAILED),
    "captured": CAPTURED,
    "refunding": waiting(replace(CAPTURED, refunds=(ASKED,)), Kind.REFUND, calls=1, refund=REFUND),
    "all refunded": replace(
        CAPTURED,
        have=Have.REFUNDED,
        refunded=2208,
        refunds=(Refund(REFUND, 2208, RefundStatus.SUCCEEDED),),
    ),
    "closing": replace(CALLED, wanted=Wanted.CLOSED, answer_owed=True),
    "closed": CLOSED,
    "closed and refunded": replace(
        CAPTURED, wanted=Wanted.CLOSED, have=Have.REFUNDED, refunded=2208, answered=True
    ),
    "closed, looking": waiting(CLOSED, Kind.LOOK, calls=1),
}

EVENTS: dict[str, Event] = {
    "placed": OrderPlaced(
        order_id=ORDER, customer_id=CUSTOMER, total=TOTAL, payment_method="pm_ok"
    ),
    "reserved": StockReserved(order_id=ORDER),
    "partial": StockPartiallyReserved(order_id=ORDER),
    "amended": OrderLinesAmended(order_id=ORDER, total=SMALLER),
    "confirmed": OrderConfirmed(order_id=ORDER),
    "closing": OrderCancelRequested(order_id=ORDER),
    "refund": RefundRequested(order_id=ORDER, refund_id=REFUND, amount=SMALLER),
}

TABLE = """
state              | placed   | reserved | partial| amended  | confirmed| closing      | refund
never seen         | -        | -        | -      | -        | -        | answered     | refused
placed             | stale    | AUTHORIZE| -      | AUTHORIZE| -        | answered     | refused
reserved first     | AUTHORIZE| stale    | stale  | -        | -        | answered     | refused
partly there       | stale    | stale    | stale  | AUTHORIZE| -        | answered     | refused
confirmed first    | stale    | AUTHORIZE| -      | AUTHORIZE| stale    | answered     | refused
agreed             | stale    | stale    | stale  | stale    | AUTHORIZE| answered     | refused
authorisation due  | stale    | stale    | stale  | AUTHORIZE| AUTHORIZE| answered     | refused
authorising        | stale    | stale    | stale  | stale    | AUTHORIZE| AUTHORIZE    | refused
authorised         | stale    | stale    | stale  | stale    | CAPTURE  | VOID         | refused
declined           | stale    | stale    | stale  | stale    | -        | answered     | refused
capturing          | stale    | stale    | stale  | stale    | stale    | CAPTURE      | refused
capture failed     | stale    | stale    | stale  | stale    | stale    | VOID         | refused
captured           | stale    | stale    | stale  | stale    | stale    | REFUND       | REFUND
refunding          | stale    | stale    | stale  | stale    | stale    | REFUND       | stale
all refunded       | stale    | stale    | stale  | stale    | stale    | answered     | stale
closing            | stale    | stale    | stale  | stale    | stale    | =            | refused
closed             | stale    | stale    | stale  | stale    | stale    | answered     | refused
closed and refunded| stale    | stale    | stale  | stale    | stale    | answered     | refused
closed, looking    | stale    | stale    | stale  | stale    | stale    | LOOK answered| refused
"""
"""Cells: what the payment waits for afterwards (-: nothing), and what is said; =: no change."""


def cells() -> list[tuple[str, str, str]]:
    header, *rows = (
        [cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()
    )
    return [
        (row[0], event, cell)
        for row in rows
        for event, cell in zip(header[1:], row[1:], strict=True)
    ]


def described(payment: Payment, event: Event) -> str:
    book = Book({ORDER: payment})
    outcome = DECISIONS[type(event)](book, event)
    if not isinstance(outcome, Outcome):
        return "stale"
    if outcome == Outcome():
        return "="
    after = outcome.changes[0] if outcome.changes else payment
    assert isinstance(after, Payment)
    waits_for = [after.attempt.operation.kind.value] if after.attempt else []
    words = {PaymentVoided: "answered", RefundFailed: "refused"}
    said = [words[type(event)] for event in outcome.events if isinstance(event, Event)]
    if said == ["refused"]:
        return "refused"
    return " ".join([*waits_for, *said]) or "-"


@pytest.mark.parametrize(("state", "event", "cell"), cells())
def test_each_event_in_each_state(state: str, event: str, cell: str) -> None:
    assert described(STATES[state], EVENTS[event]) == cell


def test_the_table_has_every_state_and_every_event() -> None:
    assert {state for state, _, _ in cells()} == set(STATES)
    closings = {OrderRejected, OrderExpired}
    assert {type(event) for event in EVENTS.values()} | closings == set(DECISIONS)


@pytest.mark.parametrize("closing", [OrderRejected, OrderExpired, OrderCancelRequested])
@pytest.mark.parametrize("state", STATES)
def test_every_closing_closes_alike(
    state: str, closing: type[OrderRejected | OrderExpired | OrderCancelRequested]
) -> None:
    by_event = described(STATES[state], closing(order_id=ORDER))

    assert by_event == described(STATES[state], EVENTS["closing"])


def decided(payment: Payment, *events: Event) -> tuple[Payment, list[object]]:
    book = Book({ORDER: payment})
    said = [each for event in events for each in decided_into(book, event)]
    return book.of(ORDER), said


def decided_into(book: Book, event: Event) -> tuple[object, ...]:
    outcome = DECISIONS[type(event)](book, event)
    if not isinstance(outcome, Outcome):
        return ()
    book.payments |= {p.order_id: p for p in outcome.changes if isinstance(p, Payment)}
    return outcome.events


FACTS = ("placed", "partial", "amended", "confirmed", "reserved")
"""All of an amended order, and what a restored inventory may say of it."""


@pytest.mark.parametrize("events", [*permutations(FACTS)], ids=" ".join)
def test_the_amended_total_is_what_is_due_in_any_order(events: tuple[str, ...]) -> None:
    payment, _ = decided(BLANK, *(EVENTS[event] for event in events))

    assert (payment.amount, payment.payment_method) == (SMALLER.amount, "pm_ok")
    assert payment.attempt == Attempt(Operation(Kind.AUTHORIZE))
    assert payment.wanted is Wanted.CAPTURED


@pytest.mark.parametrize(
    "events", [*permutations(("placed", "partial", "confirmed"))], ids=" ".join
)
def test_only_the_customer_makes_a_part_of_an_order_due(events: tuple[str, ...]) -> None:
    payment, _ = decided(BLANK, *(EVENTS[event] for event in events), EVENTS["reserved"])

    assert payment.attempt is None


def test_the_amended_total_comes_too_late_for_a_provider_that_was_asked() -> None:
    payment, _ = decided(CALLED, EVENTS["amended"])

    assert payment == CALLED


def test_the_answer_for_an_order_never_placed_names_no_payment() -> None:
    _, said = decided(BLANK, EVENTS["closing"], EVENTS["placed"], EVENTS["reserved"])

    assert said == [PaymentVoided(order_id=ORDER, payment_id=None, nothing_held=True, closing=True)]


def test_refunds_never_add_up_to_more_than_was_captured() -> None:
    asked = RefundRequested(
        order_id=ORDER, refund_id=OTHER, amount=Money(amount=2208 - 678 + 1, currency="GBP")
    )

    payment, said = decided(CAPTURED, EVENTS["refund"], asked)

    assert [refund.status for refund in payment.refunds] == [
        RefundStatus.REQUESTED,
        RefundStatus.FAILED,
    ]
    assert [event.code for event in said if isinstance(event, RefundFailed)] == ["over_refund"]


def test_a_refund_in_another_currency_is_refused() -> None:
    asked = RefundRequested(order_id=ORDER, refund_id=OTHER, amount=Money(amount=1, currency="JPY"))

    _, said = decided(CAPTURED, asked)

    assert [event.code for event in said if isinstance(event, RefundFailed)] == [
        "currency_mismatch"
    ]


def test_the_closing_refund_is_what_is_left_and_follows_the_one_asked_for() -> None:
    payment, _ = decided(STATES["refunding"], EVENTS["closing"])
    ended = replace(
        payment,
        attempt=None,
        refunded=678,
        refunds=(replace(ASKED, status=RefundStatus.SUCCEEDED),),
    )

    again, _ = decided(ended, EVENTS["closing"])

    assert payment.attempt == STATES["refunding"].attempt
    assert again.refunds[-1] == Refund(payment.close_refund_id, 2208 - 678)
