"""What inventory knows, as values: shelves, reservations, and the ledger that moves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from common.message import Received, Said, Versioned

from inventory_service.messages import Availability, Money, ProductChanged, StockLine


class ReservationState(StrEnum):
    """How far an order's claim on stock has come."""

    AWAITED = "AWAITED"
    """The order was heard of, its OrderPlaced was not."""
    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    REJECTED = "REJECTED"
    CLOSED = "CLOSED"
    """Ended before it was placed: the tombstone that makes a late OrderPlaced reserve nothing."""


class MovementKind(StrEnum):
    """Why stock moved."""

    INITIAL = "initial"
    ADJUSTED = "adjusted"
    RESERVED = "reserved"
    RELEASED = "released"
    COMMITTED = "committed"
    UNSOLD = "unsold"
    """Sold beyond what the customer took: its amendment was heard too late."""
    RESTOCKED = "restocked"


class Counts(NamedTuple):
    """Pieces of one product: free, held for orders, and ever sold."""

    available: int = 0
    reserved: int = 0
    sold: int = 0

    def plus(self, other: Counts, times: int = 1) -> Counts:
        return Counts(
            self.available + other.available * times,
            self.reserved + other.reserved * times,
            self.sold + other.sold * times,
        )


# Restocking leaves `sold` as it is: initial + adjusted + restocked = available + reserved + sold.
_EFFECTS = {
    MovementKind.INITIAL: Counts(available=1),
    MovementKind.ADJUSTED: Counts(available=1),
    MovementKind.RESERVED: Counts(available=-1, reserved=1),
    MovementKind.RELEASED: Counts(available=1, reserved=-1),
    MovementKind.COMMITTED: Counts(reserved=-1, sold=1),
    MovementKind.UNSOLD: Counts(available=1, sold=-1),
    MovementKind.RESTOCKED: Counts(available=1),
}


def total(moved: Mapping[MovementKind, int]) -> Counts:
    """Add up what so many pieces moved make of an empty shelf."""
    counts = Counts()
    for kind, quantity in moved.items():
        counts = counts.plus(_EFFECTS[kind], quantity)
    return counts


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the ledger: the only way in which counts change."""

    sku: str
    kind: MovementKind
    quantity: int
    order_id: UUID | None = None
    reason: str | None = None
    made_by: UUID | None = None
    """Who moved it by hand; an order moves it by itself."""
    reference: str | None = None
    """The paper behind it: one moves a product once."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A product was said anew, under this version."""

    sku: str
    version: int


@dataclass(frozen=True, slots=True)
class Restocked:
    """A refund's lines went back; never again for the same refund."""

    refund_id: UUID
    order_id: UUID


@dataclass(slots=True)
class Shelf:
    """One product and its stock; only the stockroom moves it, once a decision has returned."""

    sku: str
    name: str
    price: Money
    active: bool
    counts: Counts
    low_stock: int
    version: int
    allow_partial: bool = False
    """Whether an order may get less of it than it asks for, if its customer agrees."""
    category: str | None = None
    removed: bool = False
    """No longer in the catalogue; what is held of it is still sold or given back."""

    @property
    def availability(self) -> Availability:
        return self.availability_at(self.counts.available)

    def availability_at(self, available: int) -> Availability:
        if available <= 0:
            return "NONE"
        return "LOW" if available <= self.low_stock else "SOME"

    def move(self, movement: Movement) -> None:
        self.counts = self.counts.plus(_EFFECTS[movement.kind], movement.quantity)

    def announcement(self) -> Versioned:
        changed = ProductChanged(
            sku=self.sku,
            name=self.name,
            price=self.price,
            active=self.active,
            availability=self.availability,
        )
        return Versioned(changed, self.version)


@dataclass(frozen=True, slots=True)
class HeldLine:
    """What one line took from its shelf, and how much of it came back."""

    line_no: int
    sku: str
    quantity: int
    restocked: int = 0

    @property
    def held(self) -> int:
        return self.quantity - self.restocked

    def at_most(self, quantity: int) -> HeldLine:
        """Forget what was taken beyond that; what came back of it did come back."""
        return replace(self, quantity=min(self.quantity, max(quantity, self.restocked)))

    def give_back(self, quantity: int) -> HeldLine:
        return replace(self, restocked=self.restocked + quantity)

    def stock_line(self, quantity: int) -> StockLine:
        return StockLine(line_no=self.line_no, sku=self.sku, quantity=quantity)


@dataclass(frozen=True, slots=True)
class Reservation:
    """One order's claim on stock."""

    order_id: UUID
    state: ReservationState = ReservationState.AWAITED
    lines: tuple[HeldLine, ...] = ()
    """What was taken for the order; while it is awaited, all that it will be for, if known."""
    deadline_at: datetime | None = None
    confirmed: bool = False
    """The pivot was heard: what is reserved from now on is sold at once."""

    @property
    def taken(self) -> tuple[HeldLine, ...]:
        """What left the shelf for it."""
        return () if self.state is ReservationState.AWAITED else self.lines


Change = Reservation | Movement | Announced | Restocked


@dataclass(slots=True)
class Stockroom:
    """All rows that one batch needs, and what the batch did to them."""

    reservations: dict[UUID, Reservation] = field(default_factory=dict)
    stored: dict[UUID, Reservation] = field(init=False)
    """The reservations as they were loaded."""
    shelves: dict[str, Shelf] = field(default_factory=dict)
    refunds: set[UUID] = field(default_factory=set)
    restocks: list[Restocked] = field(default_factory=list)
    ledger: list[tuple[Movement, UUID | None]] = field(default_factory=list)
    """Movements with the id of the event that caused them."""

    def __post_init__(self) -> None:
        self.stored = dict(self.reservations)

    def reservation(self, order_id: UUID) -> Reservation:
        return self.reservations.get(order_id) or Reservation(order_id)

    def available(self, sku: str) -> int:
        """Count what can be reserved: none of an unknown or inactive product."""
        shelf = self.shelves.get(sku)
        return shelf.counts.available if shelf and shelf.active else 0

    def allows_partial(self, sku: str) -> bool:
        """Tell whether an order may get less of this product than it asks for."""
        return sku in self.shelves and self.shelves[sku].allow_partial

    def recategorised(self, movements: Iterable[Movement]) -> Iterator[Shelf]:
        """Tell which shelves the movements would take over a line that is announced."""
        net: defaultdict[str, int] = defaultdict(int)
        for movement in movements:
            net[movement.sku] += _EFFECTS[movement.kind].available * movement.quantity
        for sku, change in net.items():
            shelf = self.shelves[sku]
            if shelf.removed:
                continue
            available = shelf.counts.available + change
            if shelf.availability_at(available) != shelf.availability:
                counts = shelf.counts._replace(available=available)
                yield replace(shelf, counts=counts, version=shelf.version + 1)

    def apply(self, message: Received, changes: tuple[object, ...], said: Sequence[Said]) -> None:
        """Fold one message's outcome in, for the next message of the batch to see."""
        del said
        for change in changes:
            self.fold(change, message.event_id)

    def fold(self, change: object, event_id: UUID | None = None) -> None:
        match change:
            case Reservation():
                self.reservations[change.order_id] = change
            case Movement():
                self.shelves[change.sku].move(change)
                self.ledger.append((change, event_id))
            case Announced():
                self.shelves[change.sku].version = change.version
            case Restocked():
                self.refunds.add(change.refund_id)
                self.restocks.append(change)
            case _:
                message = f"no change of a stockroom: {type(change).__name__}"
                raise TypeError(message)

    def changed_reservations(self) -> list[Reservation]:
        return [each for key, each in self.reservations.items() if each != self.stored.get(key)]

    def changed_lines(self) -> Iterator[tuple[UUID, HeldLine]]:
        for each in self.changed_reservations():
            before = self.stored.get(each.order_id)
            known = set(before.lines) if before else ()
            yield from ((each.order_id, line) for line in each.lines if line not in known)

    def dropped_lines(self) -> Iterator[tuple[UUID, int]]:
        """Name the lines that were stored and are no longer a part of their order."""
        for each in self.changed_reservations():
            if before := self.stored.get(each.order_id):
                kept = {line.line_no for line in each.lines}
                yield from (
                    (each.order_id, line.line_no)
                    for line in before.lines
                    if line.line_no not in kept
                )

    def deltas(self) -> dict[str, Counts]:
        """Sum the ledger up, so that counts can never differ from it."""
        totals: defaultdict[str, Counts] = defaultdict(Counts)
        for movement, _ in self.ledger:
            effect = _EFFECTS[movement.kind]
            totals[movement.sku] = totals[movement.sku].plus(effect, movement.quantity)
        return dict(totals)
