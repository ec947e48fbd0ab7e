"""What the API answers with, made from rows and from the domain's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Self
from uuid import UUID

from common.http import Wire

from inventory_service.api.bodies import Price
from inventory_service.domain import stockroom
from inventory_service.domain.stockroom import HeldLine, Shelf
from inventory_service.messages import Availability
from inventory_service.store.catalogue import Row


class Product(Wire):
    """A product as the shop shows it."""

    sku: str
    name: str
    price: Price
    active: bool
    available: Availability
    allow_partial: bool
    category: str | None

    @classmethod
    def of(cls, shelf: Shelf) -> Self:
        return cls(
            sku=shelf.sku,
            name=shelf.name,
            price=Price(amount=shelf.price.amount, currency=shelf.price.currency),
            active=shelf.active,
            available=shelf.availability,
            allow_partial=shelf.allow_partial,
            category=shelf.category,
        )


class Category(Wire):
    """A kind of products."""

    id: str
    name: str

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(id=row["category"], name=row["name"])


class Stock(Wire):
    """How many pieces of a product are free, held for orders, and ever sold."""

    sku: str
    name: str
    active: bool
    available: int
    reserved: int
    sold: int
    low_stock: int
    availability: Availability

    @classmethod
    def of(cls, shelf: Shelf) -> Self:
        return cls(
            sku=shelf.sku,
            name=shelf.name,
            active=shelf.active,
            available=shelf.counts.available,
            reserved=shelf.counts.reserved,
            sold=shelf.counts.sold,
            low_stock=shelf.low_stock,
            availability=shelf.availability,
        )


class Movement(Wire):
    """One row of a product's ledger; the quantity is signed for adjustments only."""

    id: int
    sku: str
    kind: stockroom.MovementKind
    quantity: int
    order_id: UUID | None
    reason: str | None
    reference: str | None
    made_by: UUID | None
    at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(dict(row), strict=False)


class ReservationLine(Wire):
    """What one line took from its shelf, and how much of it came back."""

    line_no: int
    sku: str
    quantity: int
    restocked: int


class Reservation(Wire):
    """One order's claim on stock."""

    order_id: UUID
    state: stockroom.ReservationState
    deadline_at: datetime | None
    created_at: datetime
    updated_at: datetime
    lines: list[ReservationLine]

    @classmethod
    def of(cls, row: Row, lines: Sequence[HeldLine]) -> Self:
        return cls(
            order_id=row["order_id"],
            state=stockroom.ReservationState(row["state"]),
            deadline_at=row["deadline_at"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            lines=[ReservationLine(**asdict(line)) for line in lines],
        )
