"""The catalogue and the count of stock: what staff may change, as pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal
from uuid import UUID

from common.errors import Refusal
from common.message import Outcome

from inventory_service.domain.stockroom import (
    Announced,
    Counts,
    Movement,
    MovementKind,
    Shelf,
    Stockroom,
)
from inventory_service.messages import Money


@dataclass(frozen=True, slots=True)
class AddProduct:
    """Put a product into the catalogue, with its first stock."""

    sku: str
    name: str
    price: Money
    stock: int
    low_stock: int = 0
    allow_partial: bool = False
    category: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeProduct:
    """Change what the catalogue says of a product; None leaves a part as it is."""

    sku: str
    name: str | None = None
    price: Money | None = None
    active: bool | None = None
    low_stock: int | None = None
    allow_partial: bool | None = None
    category: str | None = None
    """Empty takes it out of its category."""


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """Correct the count by a signed quantity: a delivery, a loss, a recount."""

    sku: str
    quantity: int
    reason: str
    made_by: UUID | None = None
    reference: str | None = None
    """The delivery note or the count's number: it is booked once for a product."""


Promise = Literal["YES", "PARTIAL", "NO"]
"""All of what is wanted can be had, some of it, or nothing."""


def promise(available: int, wanted: int) -> Promise:
    """Answer what a customer may know, which is not how many there are."""
    if wanted <= available:
        return "YES"
    return "PARTIAL" if available > 0 else "NO"


def add(command: AddProduct) -> Shelf:
    """Make an empty shelf: its first stock is a movement like any other."""
    return Shelf(
        sku=command.sku,
        name=command.name,
        price=command.price,
        active=True,
        counts=Counts(),
        low_stock=command.low_stock,
        version=1,
        allow_partial=command.allow_partial,
        category=command.category,
    )


def revive(shelf: Shelf, command: AddProduct) -> Shelf:
    """Put a removed product back under its next version, with what is still counted of it."""
    return replace(add(command), counts=shelf.counts, version=shelf.version + 1)


def fill(shelf: Shelf, command: AddProduct, made_by: UUID | None = None) -> tuple[Movement, ...]:
    """Bring a shelf to the stock that its product is added with."""
    missing = command.stock - shelf.counts.available
    if not missing:
        return ()
    if shelf.version == 1:
        return (Movement(command.sku, MovementKind.INITIAL, missing, made_by=made_by),)
    return (
        Movement(command.sku, MovementKind.ADJUSTED, missing, reason="added anew", made_by=made_by),
    )


def change(shelf: Shelf, command: ChangeProduct) -> Shelf:
    """Make the changed shelf, under a new version only if anything is different."""
    changed = replace(
        shelf,
        name=shelf.name if command.name is None else command.name,
        price=command.price or shelf.price,
        active=shelf.active if command.active is None else command.active,
        low_stock=shelf.low_stock if command.low_stock is None else command.low_stock,
        allow_partial=(
            shelf.allow_partial if command.allow_partial is None else command.allow_partial
        ),
        category=shelf.category if command.category is None else command.category or None,
    )
    return shelf if changed == shelf else replace(changed, version=shelf.version + 1)


def remove(shelf: Shelf) -> Shelf:
    """Take a product out of the catalogue; its counts and its version stay."""
    return replace(shelf, active=False, category=None, removed=True, version=shelf.version + 1)


def adjust(room: Stockroom, command: AdjustStock) -> Outcome:
    """Move the count; refused for an unknown product, or for more than is free."""
    shelf = room.shelves.get(command.sku)
    if shelf is None or shelf.removed:
        raise Refusal(
            "unknown_product",
            "no product has this sku: add it first",
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
        )
    if shelf.counts.available + command.quantity < 0:
        raise Refusal(
            "invalid_state",
            f"only {shelf.counts.available} are free: what is reserved can't be taken away",
        )
    movement = Movement(
        command.sku,
        MovementKind.ADJUSTED,
        command.quantity,
        reason=command.reason,
        made_by=command.made_by,
        reference=command.reference,
    )
    crossed = list(room.recategorised([movement]))
    return Outcome(
        (movement, *(Announced(each.sku, each.version) for each in crossed)),
        tuple(each.announcement() for each in crossed),
    )
