"""Placing and cancelling: what comes from outside, and whether it is taken or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal
from uuid import UUID

from common.errors import FieldError, Refusal
from common.message import Cause

from order_service.domain.addresses import Address
from order_service.domain.order import CANCELLABLE, Order
from order_service.messages import Money, OrderCancelRequested, OrderLine, OrderPlaced

MAX_TOTAL = 10**14
"""A trillion of a two-digit currency: far from 64 bits, beyond anything that is an order."""


@dataclass(frozen=True, slots=True)
class WantedLine:
    """How much of a product somebody wants; the price is ours to say."""

    sku: str
    quantity: int
    item: int | None = None
    """Its place in the request, so that a refusal can point at it."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A customer wants these products, for the money behind that payment method."""

    order_id: UUID
    customer_id: UUID
    lines: tuple[WantedLine, ...]
    payment_method: str
    address: Address | None = None
    cause: Cause | None = None
    """The request, whose trace goes on in the event: many are placed in one transaction."""


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """The customer or the staff wants an order to end."""

    order_id: UUID
    by: Literal["customer", "staff"]
    principal: UUID


@dataclass(frozen=True, slots=True)
class Product:
    """What the catalogue says of a product that is for sale."""

    sku: str
    name: str
    price: Money


Catalogue = Mapping[str, Product]


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was taken, and its products' names as they were then."""

    event: OrderPlaced
    names: tuple[str, ...]
    cause: Cause | None = None
    address: Address | None = None


def skus_of(commands: Iterable[PlaceOrder]) -> list[str]:
    return sorted({line.sku for command in commands for line in command.lines})


def place(command: PlaceOrder, catalogue: Catalogue, *, deadline_at: datetime) -> Placed | Refusal:
    """Take the order at the catalogue's prices, or say what is wrong with it."""
    unknown = [line for line in command.lines if line.sku not in catalogue]
    if unknown:
        return _unknown(unknown)
    sold = [catalogue[line.sku] for line in command.lines]
    currencies = {product.price.currency for product in sold}
    if len(currencies) != 1:
        return _refused("currency_mismatch", "order products of one currency at a time")
    lines = tuple(
        OrderLine(line_no=n, sku=line.sku, quantity=line.quantity, unit_price=product.price)
        for n, (line, product) in enumerate(zip(command.lines, sold, strict=True), start=1)
    )
    total = sum(line.quantity * line.unit_price.amount for line in lines)
    if not 0 < total <= MAX_TOTAL:
        return _refused("validation_failed", f"an order's total is from 1 to {MAX_TOTAL}")
    event = OrderPlaced(
        order_id=command.order_id,
        customer_id=command.customer_id,
        lines=lines,
        total=Money(amount=total, currency=currencies.pop()),
        payment_method=command.payment_method,
        deadline_at=deadline_at,
    )
    names = tuple(product.name for product in sold)
    return Placed(event, names, command.cause, command.address)


def cancel(order: Order, command: CancelOrder) -> OrderCancelRequested:
    """Ask for the end of an order; raises a Refusal once it is shipped, or over anyway."""
    if order.status not in CANCELLABLE:
        raise Refusal(
            "invalid_state",
            f"an order that is {order.status.lower()} can't be cancelled",
            status=HTTPStatus.CONFLICT,
        )
    return OrderCancelRequested(
        order_id=order.order_id,
        customer_id=order.customer_id,
        reason=f"cancelled_by_{command.by}",
        by=command.by,
    )


def _unknown(lines: Sequence[WantedLine]) -> Refusal:
    detail = "this product is not in the catalogue, or not for sale"
    return Refusal(
        "unknown_product",
        "order only products of the catalogue",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        errors=[FieldError(_pointer(line), "unknown_product", detail) for line in lines],
    )


def _pointer(line: WantedLine) -> str:
    return "/items" if line.item is None else f"/items/{line.item}/sku"


def _refused(code: str, detail: str) -> Refusal:
    return Refusal(code, detail, status=HTTPStatus.UNPROCESSABLE_ENTITY)
