"""What a customer took of a short order is all that is held and sold, however it is heard."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Stale, uuid7
from inventory_service.consumers import DECISIONS
from inventory_service.domain import reservations
from inventory_service.domain.stockroom import (
    Counts,
    HeldLine,
    MovementKind,
    Reservation,
    ReservationState,
    Shelf,
    Stockroom,
)
from inventory_service.messages import (
    Money,
    OrderConfirmed,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    RefundRequested,
    StockLine,
    StockRejected,
    StockReleased,
)
from pydantic import ValidationError

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
DEADLINE = datetime(2025, 8, 29, 12, 15, tzinfo=UTC)
PLENTY = 50


def lines(**wanted: int) -> tuple[StockLine, ...]:
    numbers = {"lamp": 1, "vase": 2, "mug": 3}
    return tuple(
        StockLine(line_no=numbers[sku], sku=sku, quantity=quantity)
        for sku, quantity in wanted.items()
    )


PLACED = OrderPlaced(order_id=ORDER, lines=lines(lamp=6, vase=4, mug=2), deadline_at=DEADLINE)
AMENDED = OrderLinesAmended(order_id=ORDER, lines=lines(lamp=6, vase=1))
CONFIRMED = OrderConfirmed(order_id=ORDER)
EXPIRED = OrderExpired(order_id=ORDER)


def room(available: int = PLENTY) -> Stockroom:
    price = Money(amount=255, currency="GBP")
    shelves = [
        Shelf(sku, sku, price, True, Counts(available), 0, 1)  # noqa: FBT003  as the row has it
        for sku in ("lamp", "vase", "mug")
    ]
    return Stockroom(shelves={each.sku: each for each in shelves})


def hear(stockroom: Stockroom, *events: Event) -> list[Event]:
    said: list[Event] = []
    for event in events:
        outcome = DECISIONS[type(event)](stockroom, event)
        if isinstance(outcome, Outcome):
            stockroom.apply(_received(event), outcome.changes, [])
            said += [each for each in outcome.events if isinstance(each, Event)]
    return said


def _received(event: Event) -> Received:
    return Received(
        event=event,
        event_id=uuid7(),
        key=event.key().encode(),
        topic=event.TOPIC,
        partition=0,
        offset=0,
        occurred_at=DEADLINE,
        correlation_id="test",
    )


def counts(stockroom: Stockroom) -> list[Counts]:
    return [each.counts for each in stockroom.shelves.values()]


@pytest.mark.parametrize("heard", list(permutations([PLACED, AMENDED, CONFIRMED])))
def test_a_fuller_shelf_sells_no_more_than_was_taken(heard: Sequence[Event]) -> None:
    stockroom = room()

    hear(stockroom, *heard)

    assert counts(stockroom) == [Counts(44, 0, 6), Counts(49, 0, 1), Counts(PLENTY)]
    assert stockroom.reservation(ORDER) == Reservation(
        ORDER,
        ReservationState.COMMITTED,
        (HeldLine(1, "lamp", 6), HeldLine(2, "vase", 1)),
        DEADLINE,
        confirmed=True,
    )


@pytest.mark.parametrize("heard", list(permutations([PLACED, AMENDED, EXPIRED])))
def test_all_of_it_comes_back_whenever_the_order_ends(heard: Sequence[Event]) -> None:
    stockroom = room()

    hear(stockroom, *heard)

    assert counts(stockroom) == [Counts(PLENTY)] * 3
    assert not any(line.held for line in stockroom.reservation(ORDER).lines)


def test_what_is_only_remembered_is_not_given_back() -> None:
    stockroom = room()

    (answer,) = hear(stockroom, AMENDED, EXPIRED)

    assert answer == StockReleased(order_id=ORDER, lines=(), nothing_held=True, closing=True)
    assert stockroom.ledger == []


def test_what_is_only_remembered_is_forgotten_when_there_is_nothing() -> None:
    stockroom = room(available=0)

    rejected, answer = hear(stockroom, AMENDED, PLACED, EXPIRED)

    assert isinstance(rejected, StockRejected)
    assert answer == StockReleased(order_id=ORDER, lines=(), nothing_held=True, closing=True)
    assert stockroom.ledger == []


def test_what_was_sold_too_much_is_sold_no_more() -> None:
    stockroom = room()
    hear(stockroom, PLACED, CONFIRMED)

    hear(stockroom, AMENDED)

    moved = [(m.sku, m.kind, m.quantity, m.reason) for m, _ in stockroom.ledger[-2:]]
    assert moved == [
        ("vase", MovementKind.UNSOLD, 3, "OrderLinesAmended"),
        ("mug", MovementKind.UNSOLD, 2, "OrderLinesAmended"),
    ]


def test_what_staff_put_back_before_stays_put_back() -> None:
    stockroom = room()
    refund = RefundRequested(order_id=ORDER, refund_id=uuid7(), lines=lines(vase=1, mug=2))
    hear(stockroom, PLACED, CONFIRMED, refund)

    hear(stockroom, AMENDED)

    assert counts(stockroom) == [Counts(44, 0, 6), Counts(50, 0, 1), Counts(PLENTY, 0, 2)]
    assert [line.held for line in stockroom.reservation(ORDER).lines] == [6, 0, 0]


def test_what_is_held_exactly_is_left_alone() -> None:
    stockroom = room()
    hear(stockroom, PLACED)
    same = OrderLinesAmended(order_id=ORDER, lines=PLACED.lines)

    assert isinstance(reservations.amend(stockroom, same), Stale)


def test_a_shelf_that_is_emptier_now_keeps_what_there_is() -> None:
    stockroom = room(available=5)
    for each in stockroom.shelves.values():
        each.allow_partial = True

    hear(stockroom, PLACED, AMENDED, CONFIRMED)

    assert counts(stockroom) == [Counts(0, 0, 5), Counts(4, 0, 1), Counts(5)]


def test_a_line_number_is_amended_once() -> None:
    with pytest.raises(ValidationError, match="used twice"):
        OrderLinesAmended(order_id=ORDER, lines=lines(lamp=1) * 2)
