from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Said, Stale, Versioned, uuid7
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
    AskedLine,
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderPlaced,
    RefundRequested,
    StockLine,
    StockRejected,
    StockReleased,
    StockReserved,
)

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
REFUND = UUID("0198f3a0-0004-7000-8000-000000000004")
DEADLINE = datetime(2025, 8, 29, 12, 15, tzinfo=UTC)
AWAITED, HELD, COMMITTED, RELEASED, REJECTED, CLOSED = ReservationState


def shelf(sku: str = "lamp", available: int = 10, **other: Any) -> Shelf:
    counts = Counts(available, other.pop("reserved", 0), other.pop("sold", 0))
    usual: dict[str, Any] = {"name": sku.upper(), "active": True, "low_stock": 0, "version": 1}
    return Shelf(sku=sku, price=Money(amount=255, currency="GBP"), counts=counts, **usual | other)


def room(*shelves: Shelf, reservation: Reservation | None = None) -> Stockroom:
    return Stockroom(
        reservations={reservation.order_id: reservation} if reservation else {},
        shelves={each.sku: each for each in shelves},
    )


def lines(*wanted: tuple[str, int]) -> tuple[StockLine, ...]:
    return tuple(
        StockLine(line_no=number, sku=sku, quantity=quantity)
        for number, (sku, quantity) in enumerate(wanted, start=1)
    )


def placed(*wanted: tuple[str, int], order_id: UUID = ORDER) -> OrderPlaced:
    return OrderPlaced(order_id=order_id, lines=lines(*wanted), deadline_at=DEADLINE)


def refund(*wanted: tuple[str, int], refund_id: UUID = REFUND) -> RefundRequested:
    return RefundRequested(order_id=ORDER, refund_id=refund_id, lines=lines(*wanted))


def received(event: Event) -> Received:
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


def hear(stockroom: Stockroom, *events: Event) -> list[Event | Versioned]:
    """Decide on each event as the consumer does, and collect what is said."""
    said: list[Event | Versioned] = []
    for event in events:
        outcome = DECISIONS[type(event)](stockroom, event)
        if isinstance(outcome, Outcome):
            stockroom.apply(received(event), outcome.changes, [Said(event)])
            said.extend(outcome.events)
    return said


def facts(events: Sequence[Event | Versioned]) -> list[Event]:
    """Leave the catalogue's announcements out."""
    return [event for event in events if isinstance(event, Event)]


def _given_back(*wanted: tuple[int, str, int], refund_id: UUID | None = None) -> StockReleased:
    back = tuple(StockLine(line_no=no, sku=sku, quantity=n) for no, sku, n in wanted)
    return StockReleased(
        order_id=ORDER,
        lines=back,
        nothing_held=not back,
        closing=refund_id is None,
        refund_id=refund_id,
    )


_NOTHING = _given_back()


def test_an_order_reserves_every_line() -> None:
    stockroom = room(shelf("lamp", 10), shelf("vase", 3))

    said = hear(stockroom, placed(("lamp", 6), ("vase", 2)))

    assert facts(said) == [StockReserved(order_id=ORDER, lines=lines(("lamp", 6), ("vase", 2)))]
    assert stockroom.shelves["lamp"].counts == Counts(4, 6, 0)
    assert stockroom.shelves["vase"].counts == Counts(1, 2, 0)
    assert stockroom.reservation(ORDER) == Reservation(
        ORDER, HELD, (HeldLine(1, "lamp", 6), HeldLine(2, "vase", 2)), DEADLINE
    )


def test_an_order_with_one_product_short_takes_nothing() -> None:
    stockroom = room(shelf("lamp", 10), shelf("vase", 1))

    said = hear(stockroom, placed(("lamp", 6), ("vase", 2)))

    short = AskedLine(line_no=2, sku="vase", asked=2, available=1)
    assert said == [StockRejected(order_id=ORDER, lines=(short,), reason="insufficient_stock")]
    assert stockroom.shelves["lamp"].counts == Counts(available=10)
    assert stockroom.reservation(ORDER).state is REJECTED
    assert stockroom.ledger == []


@pytest.mark.parametrize(
    "shelves", [[], [shelf("lamp", 10, active=False)]], ids=["unknown", "inactive"]
)
def test_a_product_that_is_not_for_sale_counts_as_none_available(shelves: list[Shelf]) -> None:
    said = hear(room(*shelves), placed(("lamp", 1)))

    short = AskedLine(line_no=1, sku="lamp", asked=1, available=0)
    assert said == [StockRejected(order_id=ORDER, lines=(short,))]


def test_lines_of_one_product_share_its_stock() -> None:
    stockroom = room(shelf("lamp", 5))

    said = hear(stockroom, placed(("lamp", 3), ("lamp", 3)))

    short = AskedLine(line_no=2, sku="lamp", asked=3, available=2)
    assert said == [StockRejected(order_id=ORDER, lines=(short,))]
    assert stockroom.shelves["lamp"].counts == Counts(available=5)


def test_lines_of_one_product_that_fit_together_are_reserved() -> None:
    stockroom = room(shelf("lamp", 7))

    said = hear(stockroom, placed(("lamp", 3), ("lamp", 3)))

    assert facts(said) == [StockReserved(order_id=ORDER, lines=lines(("lamp", 3), ("lamp", 3)))]
    assert stockroom.shelves["lamp"].counts == Counts(1, 6, 0)


def test_the_next_order_of_a_batch_sees_what_the_first_one_left() -> None:
    stockroom, other = room(shelf("lamp", 5)), uuid7()

    said = hear(stockroom, placed(("lamp", 4)), placed(("lamp", 2), order_id=other))

    assert [type(event) for event in said] == [StockReserved, StockRejected]


def test_a_closing_before_the_order_leaves_a_tombstone() -> None:
    stockroom = room(shelf("lamp", 10))

    said = hear(stockroom, OrderExpired(order_id=ORDER), placed(("lamp", 1)))

    assert said == [_NOTHING]
    assert stockroom.shelves["lamp"].counts == Counts(available=10)


def test_a_closing_heard_again_is_answered_again_and_moves_nothing() -> None:
    stockroom = room(shelf("lamp", 10))
    cancel = OrderCancelRequested(order_id=ORDER)

    said = hear(stockroom, placed(("lamp", 4)), cancel)
    moved = len(stockroom.ledger)
    again = hear(stockroom, cancel)

    assert facts(said)[-1] == _given_back((1, "lamp", 4))
    assert again == [_NOTHING]
    assert len(stockroom.ledger) == moved


def test_cancelling_a_completed_order_returns_what_no_refund_returned() -> None:
    stockroom = room(shelf("lamp", 10))

    said = hear(
        stockroom,
        placed(("lamp", 4)),
        OrderConfirmed(order_id=ORDER),
        refund(("lamp", 3)),
        OrderCancelRequested(order_id=ORDER),
    )

    assert facts(said)[-1] == _given_back((1, "lamp", 1))
    assert stockroom.shelves["lamp"].counts == Counts(available=10, reserved=0, sold=4)
    assert [movement.kind for movement, _ in stockroom.ledger] == [
        MovementKind.RESERVED,
        MovementKind.COMMITTED,
        MovementKind.RESTOCKED,
        MovementKind.RESTOCKED,
    ]


def test_the_same_refund_restocks_once() -> None:
    stockroom = room(shelf("lamp", 10))
    hear(stockroom, placed(("lamp", 4)), OrderConfirmed(order_id=ORDER), refund(("lamp", 1)))

    again = reservations.restock(stockroom, refund(("lamp", 1)))

    assert isinstance(again, Stale)
    assert stockroom.shelves["lamp"].counts == Counts(7, 0, 4)


def test_a_refund_naming_a_line_twice_never_returns_more_than_was_sold() -> None:
    stockroom = room(shelf("lamp", 10))
    hear(stockroom, placed(("lamp", 4)), OrderConfirmed(order_id=ORDER))
    line = StockLine(line_no=1, sku="lamp", quantity=3)
    unknown = StockLine(line_no=9, sku="lamp", quantity=1)
    greedy = RefundRequested(order_id=ORDER, refund_id=REFUND, lines=(line, line, unknown))

    said = hear(stockroom, greedy)

    assert facts(said) == [_given_back((1, "lamp", 4), refund_id=REFUND)]
    assert stockroom.shelves["lamp"].counts == Counts(10, 0, 4)
