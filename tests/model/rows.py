"""Stock, payments and notices in memory, loaded and saved as each service's store does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from common.message import Received
from inventory_service.domain.stockroom import (
    Movement,
    MovementKind,
    Reservation,
    ReservationState,
    Shelf,
    Stockroom,
)
from inventory_service.messages import OrderPlaced
from notification_service.domain.notices import Amendment, Desk, Notice, NoticeKey, Order
from payment_service.domain.payment import Book, Payment, Wanted


def ids_of(batch: Iterable[Received]) -> list[UUID]:
    return sorted({UUID(message.event.key()) for message in batch})


_LEGAL = {
    ReservationState.AWAITED: set(ReservationState) - {ReservationState.RELEASED},
    ReservationState.HELD: {ReservationState.COMMITTED, ReservationState.RELEASED},
    ReservationState.COMMITTED: {ReservationState.RELEASED},
}


@dataclass
class StockRows:
    """Inventory's tables."""

    shelves: dict[str, Shelf] = field(default_factory=dict)
    reservations: dict[UUID, Reservation] = field(default_factory=dict)
    refunds: set[UUID] = field(default_factory=set)
    ledger: list[Movement] = field(default_factory=list)

    def load(self, batch: Sequence[Received], _now: datetime) -> Stockroom:
        ids = ids_of(batch)
        known = {one: self.reservations.get(one) or Reservation(one) for one in ids}
        events = (message.event for message in batch)
        placed = {line.sku for e in events if isinstance(e, OrderPlaced) for line in e.lines}
        held = {line.sku for each in known.values() for line in each.taken if line.held}
        return Stockroom(known, self.lock(placed | held), set(self.refunds))

    def lock(self, skus: Iterable[str]) -> dict[str, Shelf]:
        """Copy shelves: the stockroom moves them in place."""
        return {sku: replace(self.shelves[sku]) for sku in sorted(skus)}

    def save(self, room: Stockroom) -> None:
        for order_id, after in room.reservations.items():
            before = self.reservations.get(order_id) or Reservation(order_id)
            assert after.state is before.state or after.state in _LEGAL.get(before.state, ())
            self.reservations[order_id] = after
        for sku, delta in room.deltas().items():
            shelf = self.shelves[sku]
            shelf.counts = shelf.counts.plus(delta)
            shelf.version = room.shelves[sku].version
        self.refunds |= {each.refund_id for each in room.restocks}
        self.ledger += [movement for movement, _ in room.ledger]

    def moved(self, sku: str) -> Counter[str]:
        """Sum a product's ledger by kind."""
        sums: Counter[str] = Counter()
        for movement in self.ledger:
            if movement.sku == sku:
                sums[movement.kind] += movement.quantity
        return sums

    def returned(self, order_id: UUID) -> int:
        """Count the pieces that came back from an order."""
        back = {MovementKind.RELEASED, MovementKind.RESTOCKED}
        return sum(m.quantity for m in self.ledger if m.order_id == order_id and m.kind in back)


@dataclass
class PaymentRows:
    """Payment's tables."""

    payments: dict[UUID, Payment] = field(default_factory=dict)
    due: set[UUID] = field(default_factory=set)
    """Whose row has a time at which the charger finds it."""

    def load(self, batch: Sequence[Received], _now: datetime) -> Book:
        return self.lock(ids_of(batch))

    def lock(self, order_ids: Iterable[UUID]) -> Book:
        return Book({one: self.payments.get(one) or Payment(one) for one in order_ids})

    def save(self, book: Book) -> None:
        for order_id in sorted(book.changed):
            payment = book.of(order_id)
            _check_step(self.payments.get(order_id) or Payment(order_id), payment)
            self.payments[order_id] = replace(payment, delay=None)
            if payment.attempt is None:
                self.due.discard(order_id)
            elif payment.delay is not None:
                self.due.add(order_id)


def _check_step(before: Payment, after: Payment) -> None:
    assert _FURTHER.index(after.wanted) >= _FURTHER.index(before.wanted)
    assert after.refunded <= after.captured <= (after.amount or 0)
    assert after.captured >= before.captured
    assert after.refunded >= before.refunded


_FURTHER = list(Wanted)
"""A payment's wish only grows, and CLOSED absorbs."""


@dataclass
class NoticeRows:
    """Notification's tables."""

    orders: dict[UUID, Order] = field(default_factory=dict)
    amendments: dict[UUID, Amendment] = field(default_factory=dict)
    notices: dict[NoticeKey, Notice] = field(default_factory=dict)

    def load(self, batch: Sequence[Received], _now: datetime) -> Desk:
        ids = set(ids_of(batch))
        return Desk(
            orders=ids & self.orders.keys(),
            amended=ids & self.amendments.keys(),
            notices={key for key in self.notices if key[0] in ids},
        )

    def save(self, desk: Desk) -> None:
        self.orders |= {order.order_id: order for order in desk.new_orders}
        self.amendments |= {each.order_id: each for each in desk.new_amendments}
        for notice in desk.new_notices:
            assert notice.key not in self.notices, "told twice"
            self.notices[notice.key] = notice
