"""Money that goes back: what staff may ask for, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TypeAlias
from uuid import UUID

from common.errors import FieldError, Refusal

from order_service.domain.order import FULFILLED, Order
from order_service.messages import (
    By,
    Money,
    OrderLine,
    PaymentRefunded,
    RefundFailed,
    RefundRequested,
    StockLine,
)

AT_CLOSING = "order_closed"
"""The reason of a refund that nobody asked for: payment gives back what an order leaves behind."""

RefundFact: TypeAlias = RefundRequested | PaymentRefunded | RefundFailed


class RefundState(StrEnum):
    """Where a refund stands."""

    REQUESTED = "REQUESTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Refund:
    """One row: everything here follows from the order's own events."""

    refund_id: UUID
    order_id: UUID
    amount: int
    currency: str
    state: RefundState
    reason: str
    requested_by: By
    requested_at: datetime
    updated_at: datetime
    lines: tuple[StockLine, ...] = ()
    restock: bool = False
    code: str | None = None
    """Why it failed, in payment's or its provider's words."""


@dataclass(frozen=True, slots=True)
class ReturnedLine:
    """How much of a line the money is to be given back for."""

    line_no: int
    quantity: int


@dataclass(frozen=True, slots=True)
class RequestRefund:
    """Staff wants to give back an amount, or what some lines cost."""

    refund_id: UUID
    order_id: UUID
    by: UUID
    reason: str
    amount: Money | None
    lines: tuple[ReturnedLine, ...] = ()
    restock: bool = False


def request_refund(
    order: Order,
    command: RequestRefund,
    *,
    sold: Iterable[OrderLine],
    refunds: Sequence[Refund],
) -> RefundRequested:
    """Take a refund on, under the order's lock, so that all of them stay within what was paid.

    Raises a Refusal for an order that is not completed, and for more than is left of it.
    """
    if order.status not in FULFILLED:
        detail = f"refund an order that is completed, shipped or delivered; this is {order.status}"
        raise Refusal("invalid_state", detail, status=HTTPStatus.CONFLICT)
    prices = {line.line_no: line for line in sold}
    lines = _lines(command, prices, refunds)
    amount = command.amount or Money(
        amount=sum(line.quantity * prices[line.line_no].unit_price.amount for line in lines),
        currency=order.currency,
    )
    _refuse_money(order, amount, refunds)
    return RefundRequested(
        order_id=order.order_id,
        refund_id=command.refund_id,
        amount=amount,
        lines=lines if command.restock else (),
        refunded_lines=lines,
        reason=command.reason,
        by="staff",
    )


def fold_refunds(
    known: Mapping[UUID, Refund], facts: Iterable[tuple[RefundFact, datetime]]
) -> dict[UUID, Refund]:
    """Fold facts, each with when it was written, into the refunds that they are about."""
    after = dict(known)
    for fact, at in facts:
        before = after.get(fact.refund_id)
        after[fact.refund_id] = _asked(fact, at) if before is None else _ended(before, fact, at)
    return after


def _asked(fact: RefundFact, at: datetime) -> Refund:
    """Begin a refund; one that payment makes of its own accord begins with its end."""
    asked = fact if isinstance(fact, RefundRequested) else None
    refund = Refund(
        refund_id=fact.refund_id,
        order_id=fact.order_id,
        amount=fact.amount.amount,
        currency=fact.amount.currency,
        state=RefundState.REQUESTED,
        reason=asked.reason if asked else AT_CLOSING,
        requested_by=asked.by if asked else "system",
        requested_at=at,
        updated_at=at,
        lines=asked.refunded_lines if asked else (),
        restock=bool(asked and asked.lines),
    )
    return refund if asked else _ended(refund, fact, at)


def _ended(refund: Refund, fact: RefundFact, at: datetime) -> Refund:
    match fact:
        case PaymentRefunded():
            return replace(refund, state=RefundState.SUCCEEDED, code=None, updated_at=at)
        case RefundFailed():
            return replace(refund, state=RefundState.FAILED, code=fact.code, updated_at=at)
        case _:
            return refund


def _lines(
    command: RequestRefund, sold: Mapping[int, OrderLine], refunds: Iterable[Refund]
) -> tuple[StockLine, ...]:
    """Name the lines whole, the same one twice as one; refuse those that were not sold so often."""
    gone = Counter[int]()
    for refund in refunds:
        if refund.state is not RefundState.FAILED:
            gone.update({line.line_no: line.quantity for line in refund.lines})
    wanted = Counter[int]()
    errors: dict[str, FieldError] = {}
    for place, line in enumerate(command.lines):
        wanted[line.line_no] += line.quantity
        known = sold.get(line.line_no)
        left = known.quantity - gone[line.line_no] if known else 0
        if known is None:
            pointer = f"/lines/{place}/lineNo"
            errors[pointer] = FieldError(pointer, "unknown_line", "the order has no such line")
        elif wanted[line.line_no] > left:
            pointer = f"/lines/{place}/quantity"
            errors[pointer] = FieldError(pointer, "over_refund", f"{left} of it are left to refund")
    if errors:
        raise _refused(errors.values())
    return tuple(
        StockLine(line_no=number, sku=sold[number].sku, quantity=quantity)
        for number, quantity in sorted(wanted.items())
    )


def _refused(errors: Iterable[FieldError]) -> Refusal:
    found = list(errors)
    unknown = any(error.code == "unknown_line" for error in found)
    return Refusal(
        "validation_failed" if unknown else "over_refund",
        "`errors` lists each wrong place." if unknown else "more than was bought can't go back",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        errors=found,
    )


def _refuse_money(order: Order, amount: Money, refunds: Iterable[Refund]) -> None:
    if amount.currency != order.currency:
        detail = f"this order was paid in {order.currency}"
        raise Refusal("currency_mismatch", detail, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    if not amount.amount:
        detail = "these lines cost nothing, so there is nothing to give back"
        raise Refusal("validation_failed", detail, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    asked = sum(refund.amount for refund in refunds if refund.state is RefundState.REQUESTED)
    left = order.amount_captured - order.amount_refunded - asked
    if amount.amount > left:
        detail = f"{left} of {order.amount_captured} {order.currency} are left to refund"
        raise Refusal("over_refund", detail, status=HTTPStatus.UNPROCESSABLE_ENTITY)
