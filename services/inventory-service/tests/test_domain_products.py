from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from common.errors import Refusal
from common.message import Event, Outcome, Received, Said, Versioned, uuid7
from inventory_service.consumers import DECISIONS
from inventory_service.domain import products
from inventory_service.domain.stockroom import (
    Counts,
    Reservation,
    ReservationState,
    Shelf,
    Stockroom,
)
from inventory_service.messages import (
    Money,
    OrderExpired,
    OrderPlaced,
    ProductChanged,
    StockLine,
)
from pydantic import ValidationError

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
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


@pytest.mark.parametrize(
    ("available", "quantity", "expected"),
    [(10, 4, None), (10, 8, "LOW"), (10, 10, "NONE"), (2, 1, None), (2, 2, "NONE")],
    ids=["still some", "some to low", "some to none", "still low", "low to none"],
)
def test_availability_is_said_only_when_it_crosses_a_line(
    available: int, quantity: int, expected: str | None
) -> None:
    stockroom = room(shelf("lamp", available, low_stock=2, version=7))

    said = hear(stockroom, placed(("lamp", quantity)))

    announced = [each for each in said if isinstance(each, Versioned)]
    if expected is None:
        assert announced == []
        assert stockroom.shelves["lamp"].version == 7
        return
    (versioned,) = announced
    assert isinstance(versioned.event, ProductChanged)
    assert (versioned.event.availability, versioned.version) == (expected, 8)
    assert stockroom.shelves["lamp"].version == 8


def test_versions_follow_each_other_within_a_batch() -> None:
    stockroom = room(shelf("lamp", 4))

    said = hear(stockroom, placed(("lamp", 4)), OrderExpired(order_id=ORDER))

    assert [each.version for each in said if isinstance(each, Versioned)] == [2, 3]
    assert stockroom.shelves["lamp"].version == 3


def test_two_lines_of_one_product_cross_a_line_once() -> None:
    said = hear(room(shelf("lamp", 4)), placed(("lamp", 2), ("lamp", 2)))

    assert [each.version for each in said if isinstance(each, Versioned)] == [2]


def test_a_change_makes_a_new_version_and_no_change_makes_none() -> None:
    lamp = shelf("lamp", version=3)

    renamed = products.change(lamp, products.ChangeProduct("lamp", name="Lantern", active=False))
    same = products.change(lamp, products.ChangeProduct("lamp", name="LAMP"))

    assert (renamed.name, renamed.active, renamed.version) == ("Lantern", False, 4)
    assert same == lamp


def test_an_adjustment_that_crosses_zero_is_announced() -> None:
    stockroom = room(shelf("lamp", 0))

    outcome = products.adjust(stockroom, products.AdjustStock("lamp", 5, "delivery"))
    for change in outcome.changes:
        stockroom.fold(change)

    assert stockroom.shelves["lamp"].counts == Counts(available=5)
    assert [each.version for each in outcome.events if isinstance(each, Versioned)] == [2]


@pytest.mark.parametrize(
    ("sku", "quantity", "code"),
    [("vase", 1, "unknown_product"), ("lamp", -11, "invalid_state")],
    ids=["unknown product", "more than is free"],
)
def test_an_impossible_adjustment_is_refused(sku: str, quantity: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        products.adjust(room(shelf("lamp", 10)), products.AdjustStock(sku, quantity, "recount"))

    assert refused.value.code == code


@pytest.mark.parametrize(
    "line",
    [
        {"line_no": 1, "sku": "lamp", "quantity": 0},
        {"line_no": 1, "sku": "lamp", "quantity": -1},
        {"line_no": 1, "sku": "la\x00mp", "quantity": 1},
        {"line_no": 1, "sku": "l" * 65, "quantity": 1},
        {"line_no": 0, "sku": "lamp", "quantity": 1},
    ],
    ids=["none", "less than none", "a NUL", "too long", "line nought"],
)
def test_an_impossible_line_is_no_order(line: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OrderPlaced(order_id=ORDER, lines=[line], deadline_at=DEADLINE)


def test_a_line_number_used_twice_is_no_order() -> None:
    line = StockLine(line_no=1, sku="lamp", quantity=1)

    with pytest.raises(ValidationError, match="twice"):
        OrderPlaced(order_id=ORDER, lines=(line, line), deadline_at=DEADLINE)


def test_a_foreign_change_is_no_change_of_a_stockroom() -> None:
    with pytest.raises(TypeError):
        Stockroom().fold("nonsense")
