from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from common.message import Event, Outcome, Received, Said, Versioned, uuid7
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_service.consumers import DECISIONS
from inventory_service.domain import products
from inventory_service.domain.stockroom import (
    Counts,
    MovementKind,
    Reservation,
    ReservationState,
    Shelf,
    Stockroom,
)
from inventory_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    RefundRequested,
    StockLine,
    StockReleased,
)

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


def decided(stockroom: Stockroom, event: Event) -> Outcome:
    outcome = DECISIONS[type(event)](stockroom, event)
    assert isinstance(outcome, Outcome), outcome
    return outcome


def facts(events: Sequence[Event | Versioned]) -> list[Event]:
    """Leave the catalogue's announcements out."""
    return [event for event in events if isinstance(event, Event)]


_SKUS = ("lamp", "vase", "mug")
_ORDERS = tuple(UUID(int=(0x0198F3A0 << 96) + (7 << 76) + (2 << 62) + n) for n in range(4))
_REFUNDS = tuple(UUID(int=(0x0198F3A1 << 96) + (7 << 76) + (2 << 62) + n) for n in range(4))

_stock_lines = st.lists(
    st.tuples(st.sampled_from((*_SKUS, "nowhere")), st.integers(1, 6)), min_size=1, max_size=4
).map(lambda wanted: lines(*wanted))
_order_ids = st.sampled_from(_ORDERS)
_events = st.one_of(
    st.builds(OrderPlaced, order_id=_order_ids, lines=_stock_lines, deadline_at=st.just(DEADLINE)),
    st.builds(OrderLinesAmended, order_id=_order_ids, lines=_stock_lines),
    st.builds(OrderConfirmed, order_id=_order_ids),
    st.builds(OrderRejected, order_id=_order_ids),
    st.builds(OrderExpired, order_id=_order_ids),
    st.builds(OrderCancelRequested, order_id=_order_ids),
    st.builds(
        RefundRequested,
        order_id=_order_ids,
        refund_id=st.sampled_from(_REFUNDS),
        lines=_stock_lines,
    ),
    st.builds(
        products.AdjustStock,
        sku=st.sampled_from(_SKUS),
        quantity=st.integers(-4, 8).filter(bool),
        reason=st.just("recount"),
    ),
)


def _balance(stockroom: Stockroom, initial: int) -> None:
    """Check I2, and that what is reserved is exactly what reservations hold."""
    held = [
        line
        for each in stockroom.reservations.values()
        if each.state is HELD
        for line in each.lines
    ]
    for sku, each in stockroom.shelves.items():
        moved = [movement for movement, _ in stockroom.ledger if movement.sku == sku]
        came = sum(
            movement.quantity
            for movement in moved
            if movement.kind in {MovementKind.ADJUSTED, MovementKind.RESTOCKED}
        )
        counts = each.counts
        assert initial + came == counts.available + counts.reserved + counts.sold
        assert min(counts.available, counts.reserved, counts.sold) >= 0
        assert counts.reserved == sum(line.held for line in held if line.sku == sku)


@settings(deadline=None)
@given(
    story=st.lists(_events, max_size=25),
    stock=st.integers(0, 15),
    low=st.integers(0, 5),
    partial=st.frozensets(st.sampled_from(_SKUS)),
    twice=st.booleans(),
)
def test_no_story_makes_or_loses_stock(
    story: list[Event | products.AdjustStock],
    stock: int,
    low: int,
    partial: frozenset[str],
    *,
    twice: bool,
) -> None:
    shelves = (shelf(s, stock, low_stock=low, allow_partial=s in partial) for s in _SKUS)
    stockroom = room(*shelves)

    for step in [each for each in story for _ in range(1 + twice)]:
        if isinstance(step, Event):
            hear(stockroom, step)
        elif stockroom.shelves[step.sku].counts.available + step.quantity >= 0:
            for change in products.adjust(stockroom, step).changes:
                stockroom.fold(change)
        _balance(stockroom, stock)

    deltas = stockroom.deltas()
    for sku, each in stockroom.shelves.items():
        assert Counts(available=stock).plus(deltas.get(sku, Counts())) == each.counts


@settings(deadline=None)
@given(story=st.lists(_events, max_size=25))
def test_a_closing_is_answered_after_any_story(story: list[Event | products.AdjustStock]) -> None:
    stockroom = room(*(shelf(sku, 10) for sku in _SKUS))
    hear(stockroom, *(step for step in story if isinstance(step, Event)))

    answer = facts(decided(stockroom, OrderExpired(order_id=_ORDERS[0])).events)

    assert [type(event) for event in answer] == [StockReleased]
