"""An order of which only a part is in stock: what its customer is offered, and decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Literal
from uuid import UUID

from common.errors import Refusal

from order_service.domain.order import Order, Status
from order_service.domain.placing import CancelOrder, cancel
from order_service.messages import Money, OrderCancelRequested, OrderLine, OrderLinesAmended


class Choice(StrEnum):
    """What to do with an order that is short."""

    ACCEPT_PARTIAL = "accept_partial"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class DecideOrder:
    """The customer, or the staff for them, takes what there is or leaves it."""

    order_id: UUID
    choice: Choice
    by: Literal["customer", "staff"]
    principal: UUID


def offered(lines: Iterable[OrderLine], held: Mapping[int, int]) -> tuple[OrderLine, ...]:
    """Cut an order's lines down to what is held of each."""
    return tuple(
        line.model_copy(update={"quantity": min(line.quantity, held[line.line_no])})
        for line in lines
        if line.line_no in held
    )


def total_of(lines: Iterable[OrderLine]) -> int:
    return sum(line.quantity * line.unit_price.amount for line in lines)


def decide(
    order: Order, command: DecideOrder, *, lines: Iterable[OrderLine], now: datetime
) -> OrderLinesAmended | OrderCancelRequested:
    """Follow the choice; raises a Refusal when there is none, or its time is over."""
    if order.offer is None or now >= order.deadline_at:
        raise _nothing_to_decide(order)
    if command.choice is Choice.CANCEL:
        return cancel(order, CancelOrder(order.order_id, command.by, command.principal))
    accepted = offered(lines, order.offer)
    total = Money(amount=total_of(accepted), currency=order.currency)
    return OrderLinesAmended(order_id=order.order_id, lines=accepted, total=total)


def _nothing_to_decide(order: Order) -> Refusal:
    if order.offer is not None or order.reason == "decision_expired":
        return Refusal(
            "decision_expired", "the time for this decision is over", status=HTTPStatus.GONE
        )
    return Refusal(
        "invalid_state",
        f"only an order that is {Status.ACTION_REQUIRED} is decided on; this is {order.status}",
        status=HTTPStatus.CONFLICT,
    )
