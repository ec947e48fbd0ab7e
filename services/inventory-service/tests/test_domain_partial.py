from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Said, uuid7
from inventory_service.consumers import DECISIONS
from inventory_service.domain.stockroom import (
    Counts,
    HeldLine,
    Reservation,
    ReservationState,
    Shelf,
    Stockroom,
)
from inventory_service.messages import (
    AskedLine,
    Money,
    OrderConfirmed,
    OrderExpired,
    OrderPlaced,
    StockCommitted,
    StockLine,
    StockPartiallyReserved,
    StockRejected,
    StockReleased,
)

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
DEADLINE = datetime(2025, 8, 29, 12, 15, tzinfo=UTC)


def shelf(
    sku: str, available: int, *, allow_partial: bool = True, active: bool = True
) -> tuple[str, Shelf]:
    price = Money(amount=255, currency="GBP")
    return sku, Shelf(
        sku=sku,
        name=sku,
        price=price,
        active=active,
        counts=Counts(available),
        low_stock=0,
        version=1,
        allow_partial=allow_partial,
    )


def placed(*wanted: tuple[str, int]) -> OrderPlaced:
    lines = tuple(
        StockLine(line_no=number, sku=sku, quantity=quantity)
        for number, (sku, quantity) in enumerate(wanted, start=1)
    )
    return OrderPlaced(order_id=ORDER, lines=lines, deadline_at=DEADLINE)


def partly(*lines: tuple[str, int, int]) -> StockPartiallyReserved:
    """Say what each line asked for, and what is held for it."""
    asked = tuple(
        AskedLine(line_no=number, sku=sku, asked=wanted, available=held)
        for number, (sku, wanted, held) in enumerate(lines, start=1)
    )
    return StockPartiallyReserved(order_id=ORDER, lines=asked)


def hear(room: Stockroom, *events: Event) -> list[Event]:
    """Decide on each event as the consumer does, and collect the facts that are said."""
    said: list[Event] = []
    for event in events:
        outcome = DECISIONS[type(event)](room, event)
        if isinstance(outcome, Outcome):
            room.apply(_received(event), outcome.changes, [Said(event)])
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


def test_what_there_is_of_a_short_product_is_held() -> None:
    room = Stockroom(shelves=dict([shelf("lamp", 10, allow_partial=False), shelf("vase", 1)]))

    said = hear(room, placed(("lamp", 6), ("vase", 2)))

    assert said == [partly(("lamp", 6, 6), ("vase", 2, 1))]
    assert room.shelves["lamp"].counts == Counts(4, 6, 0)
    assert room.shelves["vase"].counts == Counts(0, 1, 0)
    assert room.reservation(ORDER) == Reservation(
        ORDER,
        ReservationState.HELD,
        (HeldLine(1, "lamp", 6), HeldLine(2, "vase", 1)),
        DEADLINE,
    )


def test_a_line_of_which_nothing_is_there_is_left_out() -> None:
    room = Stockroom(shelves=dict([shelf("lamp", 10), shelf("vase", 0)]))

    said = hear(room, placed(("vase", 2), ("lamp", 6)))

    assert said == [partly(("vase", 2, 0), ("lamp", 6, 6))]
    assert room.reservation(ORDER).lines == (HeldLine(2, "lamp", 6),)


def test_lines_of_one_product_share_what_there_is() -> None:
    room = Stockroom(shelves=dict([shelf("lamp", 5)]))

    said = hear(room, placed(("lamp", 3), ("lamp", 3), ("lamp", 1)))

    assert said == [partly(("lamp", 3, 3), ("lamp", 3, 2), ("lamp", 1, 0))]
    assert room.shelves["lamp"].counts == Counts(0, 5, 0)


@pytest.mark.parametrize(
    "shelves",
    [
        [shelf("lamp", 1), shelf("vase", 1, allow_partial=False)],
        [shelf("lamp", 1)],
        [shelf("lamp", 0), shelf("vase", 0)],
        [shelf("lamp", 9, active=False), shelf("vase", 0)],
    ],
    ids=["one does not allow it", "one is unknown", "nothing is there", "nothing is for sale"],
)
def test_else_nothing_is_held(shelves: list[tuple[str, Shelf]]) -> None:
    room = Stockroom(shelves=dict(shelves))

    said = hear(room, placed(("lamp", 2), ("vase", 2)))

    assert [type(event) for event in said] == [StockRejected]
    assert room.ledger == []


def test_a_product_that_allows_it_is_held_whole_if_it_can_be() -> None:
    room = Stockroom(shelves=dict([shelf("lamp", 2)]))

    said = hear(room, placed(("lamp", 2)))

    assert [event.type_name() for event in said] == ["StockReserved"]


def test_the_pivot_sells_exactly_what_is_held() -> None:
    room = Stockroom(shelves=dict([shelf("lamp", 10), shelf("vase", 1)]))

    said = hear(room, placed(("lamp", 6), ("vase", 2)), OrderConfirmed(order_id=ORDER))

    assert said[1:] == [StockCommitted(order_id=ORDER)]
    assert room.shelves["lamp"].counts == Counts(4, 0, 6)
    assert room.shelves["vase"].counts == Counts(0, 0, 1)


def test_a_closing_gives_all_of_it_back() -> None:
    room = Stockroom(shelves=dict([shelf("lamp", 10), shelf("vase", 1)]))

    said = hear(room, placed(("lamp", 6), ("vase", 2)), OrderExpired(order_id=ORDER))

    back = (
        StockLine(line_no=1, sku="lamp", quantity=6),
        StockLine(line_no=2, sku="vase", quantity=1),
    )
    assert said[1:] == [StockReleased(order_id=ORDER, lines=back, nothing_held=False, closing=True)]
    assert [each.counts for each in room.shelves.values()] == [Counts(10), Counts(1)]


def test_an_order_heard_again_is_not_held_again() -> None:
    room = Stockroom(shelves=dict([shelf("vase", 1)]))

    said = hear(room, placed(("vase", 2)), placed(("vase", 2)))

    assert len(said) == 1
    assert room.shelves["vase"].counts == Counts(0, 1, 0)
