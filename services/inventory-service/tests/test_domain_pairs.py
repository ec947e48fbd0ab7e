from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from common.message import Event, Outcome, Received, Stale, Versioned, uuid7
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
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    RefundRequested,
    StockCommitted,
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


def facts(events: Sequence[Event | Versioned]) -> list[Event]:
    """Leave the catalogue's announcements out."""
    return [event for event in events if isinstance(event, Event)]


_TAKEN = (HeldLine(1, "lamp", 3),)
_SOLD = (HeldLine(1, "lamp", 4), HeldLine(2, "vase", 2))
_PARTLY_BACK = (HeldLine(1, "lamp", 4, restocked=3), HeldLine(2, "vase", 2))
_ALL_BACK = (HeldLine(1, "lamp", 4, restocked=4), HeldLine(2, "vase", 2, restocked=2))

STATES: Mapping[str, Reservation] = {
    "never seen": Reservation(ORDER),
    "confirmed first": Reservation(ORDER, confirmed=True),
    "amended first": Reservation(ORDER, lines=_TAKEN),
    "amended and confirmed first": Reservation(ORDER, lines=_TAKEN, confirmed=True),
    "held": Reservation(ORDER, HELD, _SOLD, DEADLINE),
    "held as amended": Reservation(ORDER, HELD, _TAKEN, DEADLINE),
    "committed": Reservation(ORDER, COMMITTED, _SOLD, DEADLINE, confirmed=True),
    "partly restocked": Reservation(ORDER, COMMITTED, _PARTLY_BACK, DEADLINE, confirmed=True),
    "all restocked": Reservation(ORDER, COMMITTED, _ALL_BACK, DEADLINE, confirmed=True),
    "released": Reservation(ORDER, RELEASED, _ALL_BACK, DEADLINE),
    "rejected": Reservation(ORDER, REJECTED, (), DEADLINE),
    "closed": Reservation(ORDER, CLOSED),
}
EVENTS: Mapping[str, Event] = {
    "placed": placed(("lamp", 4), ("vase", 2)),
    "placed, too much": placed(("lamp", 400), ("vase", 2)),
    "amended": OrderLinesAmended(order_id=ORDER, lines=lines(("lamp", 3))),
    "confirmed": OrderConfirmed(order_id=ORDER),
    "rejected": OrderRejected(order_id=ORDER),
    "expired": OrderExpired(order_id=ORDER),
    "cancel": OrderCancelRequested(order_id=ORDER),
    "refund": refund(("lamp", 2)),
}

_RESERVED = StockReserved(order_id=ORDER, lines=lines(("lamp", 4), ("vase", 2)))
_SHORT = StockRejected(
    order_id=ORDER, lines=(AskedLine(line_no=1, sku="lamp", asked=400, available=96),)
)
_PART = StockReserved(order_id=ORDER, lines=lines(("lamp", 3)))
_COMMITTED = StockCommitted(order_id=ORDER)


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
_NOTHING_REFUNDED = _given_back(refund_id=REFUND)
_BOTH = _given_back((1, "lamp", 4), (2, "vase", 2))

# state → event → (the state after, what is said), or Stale
TABLE: Mapping[str, Mapping[str, tuple[ReservationState, list[Event]] | type[Stale]]] = {
    "never seen": {
        "placed": (HELD, [_RESERVED]),
        "placed, too much": (REJECTED, [_SHORT]),
        "amended": (AWAITED, []),
        "confirmed": (AWAITED, []),
        "close": (CLOSED, [_NOTHING]),
        "refund": (AWAITED, [_NOTHING_REFUNDED]),
    },
    "confirmed first": {
        "placed": (COMMITTED, [_RESERVED, _COMMITTED]),
        "placed, too much": (REJECTED, [_SHORT]),
        "amended": (AWAITED, []),
        "confirmed": Stale,
        "close": (CLOSED, [_NOTHING]),
        "refund": (AWAITED, [_NOTHING_REFUNDED]),
    },
    "amended first": {
        "placed": (HELD, [_PART]),
        "placed, too much": (HELD, [_PART]),
        "amended": Stale,
        "confirmed": (AWAITED, []),
        "close": (CLOSED, [_NOTHING]),
        "refund": (AWAITED, [_NOTHING_REFUNDED]),
    },
    "amended and confirmed first": {
        "placed": (COMMITTED, [_PART, _COMMITTED]),
        "placed, too much": (COMMITTED, [_PART, _COMMITTED]),
        "amended": Stale,
        "confirmed": Stale,
        "close": (CLOSED, [_NOTHING]),
        "refund": (AWAITED, [_NOTHING_REFUNDED]),
    },
    "held as amended": {
        "placed": Stale,
        "placed, too much": Stale,
        "amended": Stale,
        "confirmed": (COMMITTED, [_COMMITTED]),
        "close": (RELEASED, [_given_back((1, "lamp", 3))]),
        "refund": (HELD, [_NOTHING_REFUNDED]),
    },
    "held": {
        "placed": Stale,
        "placed, too much": Stale,
        "amended": (HELD, []),
        "confirmed": (COMMITTED, [_COMMITTED]),
        "close": (RELEASED, [_BOTH]),
        "refund": (HELD, [_NOTHING_REFUNDED]),
    },
    "committed": {
        "placed": Stale,
        "placed, too much": Stale,
        "amended": (COMMITTED, []),
        "confirmed": Stale,
        "close": (RELEASED, [_BOTH]),
        "refund": (COMMITTED, [_given_back((1, "lamp", 2), refund_id=REFUND)]),
    },
    "partly restocked": {
        "placed": Stale,
        "placed, too much": Stale,
        "amended": (COMMITTED, []),
        "confirmed": Stale,
        "close": (RELEASED, [_given_back((1, "lamp", 1), (2, "vase", 2))]),
        "refund": (COMMITTED, [_given_back((1, "lamp", 1), refund_id=REFUND)]),
    },
    "all restocked": {
        "placed": Stale,
        "placed, too much": Stale,
        "amended": Stale,
        "confirmed": Stale,
        "close": (RELEASED, [_NOTHING]),
        "refund": (COMMITTED, [_NOTHING_REFUNDED]),
    },
    **{
        over: {
            "placed": Stale,
            "placed, too much": Stale,
            "amended": Stale,
            "confirmed": Stale,
            "close": (state, [_NOTHING]),
            "refund": (state, [_NOTHING_REFUNDED]),
        }
        for over, state in (("released", RELEASED), ("rejected", REJECTED), ("closed", CLOSED))
    },
}


def _pairs() -> Iterator[Any]:
    for state in STATES:
        for event in EVENTS:
            row = "close" if event in {"rejected", "expired", "cancel"} else event
            yield pytest.param(state, event, TABLE[state][row], id=f"{state}, then {event}")


@pytest.mark.parametrize(("state", "event", "expected"), list(_pairs()))
def test_every_event_has_one_answer_in_every_state(
    state: str, event: str, expected: tuple[ReservationState, list[Event]] | type[Stale]
) -> None:
    known = STATES[state]
    held = HELD is known.state
    sold = Counts(96, 4 * held, 4 * (known.state is COMMITTED))
    stockroom = room(
        replace(shelf("lamp"), counts=sold),
        replace(shelf("vase"), counts=sold._replace(reserved=2 * held)),
        reservation=known,
    )

    outcome = DECISIONS[type(EVENTS[event])](stockroom, EVENTS[event])

    if expected is Stale:
        assert isinstance(outcome, Stale)
        return
    assert isinstance(outcome, Outcome)
    stockroom.apply(received(EVENTS[event]), outcome.changes, [])
    assert (stockroom.reservation(ORDER).state, facts(outcome.events)) == expected


def test_the_table_covers_every_decision() -> None:
    assert {type(event) for event in EVENTS.values()} == set(DECISIONS)
    assert set(TABLE) == set(STATES)
