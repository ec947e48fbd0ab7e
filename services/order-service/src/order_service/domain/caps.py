"""How much one customer may hold without having paid: the answer to bots that hoard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import UUID

from common.errors import FieldError, Refusal

from order_service.domain.placing import PlaceOrder, WantedLine

_COME_BACK = 10.0
"""Seconds: an order that is confirmed at all is so within one or two."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What one customer's orders may hold while they are not confirmed."""

    orders: int = 1000
    pieces: int = 100_000
    """Of one product; above the largest line that was ever sold (74,215 pieces)."""
    lines: int = 20_000
    """Of all those orders: what it takes to count them is bounded, too."""


@dataclass(slots=True)
class Holdings:
    """What each customer holds, as a batch of orders adds to it."""

    caps: Caps
    orders: Counter[UUID] = field(default_factory=Counter)
    lines: Counter[UUID] = field(default_factory=Counter)
    pieces: Counter[tuple[UUID, str]] = field(default_factory=Counter)

    def take(self, command: PlaceOrder) -> Refusal | None:
        """Add an order to what its customer holds, or refuse it and add nothing."""
        customer = command.customer_id
        if too_large := [line for line in command.lines if line.quantity > self.caps.pieces]:
            return _never(too_large, self.caps.pieces)
        if (
            self.orders[customer] >= self.caps.orders
            or self.lines[customer] + len(command.lines) > self.caps.lines
        ):
            return _too_many()
        held = {line: self.pieces[customer, line.sku] for line in command.lines}
        if over := [line for line in held if held[line] + line.quantity > self.caps.pieces]:
            return _too_much(over)
        self.orders[customer] += 1
        self.lines[customer] += len(command.lines)
        for line in command.lines:
            self.pieces[customer, line.sku] += line.quantity
        return None


def _never(lines: Iterable[WantedLine], most: int) -> Refusal:
    detail = f"at most {most} pieces of a product"
    return Refusal(
        "validation_failed",
        "`errors` lists each wrong place.",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        errors=[_error(line, "less_than_equal", detail) for line in lines],
    )


def _too_many() -> Refusal:
    return Refusal(
        "too_many_open_orders",
        "wait until some of the open orders are confirmed or over",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        retry_after=_COME_BACK,
    )


def _too_much(lines: Iterable[WantedLine]) -> Refusal:
    detail = "open orders hold too much of this product already"
    return Refusal(
        "too_much_held",
        "wait until open orders with these products are confirmed or over",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        retry_after=_COME_BACK,
        errors=[_error(line, "too_much_held", detail) for line in lines],
    )


def _error(line: WantedLine, code: str, detail: str) -> FieldError:
    pointer = "/items" if line.item is None else f"/items/{line.item}/quantity"
    return FieldError(pointer, code, detail)
