"""What a saga waits for, and what follows when an operator repairs one that is stuck."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from uuid import UUID

from common.errors import FieldError, Refusal
from common.message import Event
from pydantic import BaseModel, ConfigDict

from order_service.domain.order import Health, Order, Payment, Status, Stock
from order_service.domain.timers import closing_of
from order_service.messages import (
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderConfirmed,
)


class Side(StrEnum):
    """Half of what an order is about; each has one service that answers for it."""

    STOCK = "stock"
    MONEY = "money"


_SERVICE = {Side.STOCK: "inventory-service", Side.MONEY: "payment-service"}


@dataclass(frozen=True, slots=True)
class Awaited:
    """Something that has not come: which fact, from whom (a service, or the customer)."""

    fact: str
    source: str
    since: datetime
    side: Side | None = None
    due_at: datetime | None = None
    """When the timer of this wait fires; none runs for a saga that is stuck."""


class Repair(BaseModel):
    """What an operator did about a stuck saga; kept in the history, told to no topic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    by: UUID
    note: str = ""


class SagaRetried(Repair):
    """What is owed was asked for again, with fresh timers."""


class SagaForced(Repair):
    """The order is to end as if it had never been confirmed."""


class SagaResolved(Repair):
    """Somebody settled by hand what no service answered for, and gave their word for it."""

    settled: tuple[Side, ...]


Facts = tuple[Repair, tuple[Event, ...]]
"""What joins the history first, and what is announced after it."""


def awaited(order: Order) -> list[Awaited]:
    """Tell what an order's saga waits for; nothing once it is settled."""
    if order.is_settled:
        return []
    if order.is_closed:
        return list(_missing_answers(order))
    if order.status is Status.CONFIRMED:
        return list(_missing_halves(order))
    if order.status is Status.ACTION_REQUIRED:
        decision = Awaited("decision", "customer", order.updated_at, None, order.deadline_at)
        return [decision]
    if order.stock is Stock.NONE:
        return [_wait("StockReserved", Side.STOCK, order.created_at, order.deadline_at)]
    return [_wait("PaymentAuthorized", Side.MONEY, order.updated_at, order.deadline_at)]


def retry(order: Order, repair: SagaRetried) -> Facts:
    """Ask once more for what is owed."""
    _refuse_unless_stuck(order)
    if order.is_closed:
        return repair, (closing_of(order),)
    confirmed = OrderConfirmed(order_id=order.order_id, customer_id=order.customer_id)
    return repair, (confirmed,)


def force(order: Order, repair: SagaForced) -> Facts:
    """Stop waiting for completion: inventory and payment undo whatever they did.

    An order that ends already has been told so; then only their answers, or somebody's word, help.
    """
    _refuse_unless_stuck(order)
    if order.is_closed:
        raise _invalid_state("it ends already: retry it, or settle it by hand and resolve it")
    requested = OrderCancelRequested(
        order_id=order.order_id,
        customer_id=order.customer_id,
        reason="forced_by_operator",
        by="staff",
    )
    return repair, (requested,)


def resolve(order: Order, repair: SagaResolved) -> Facts:
    """End the saga where it was heading, on somebody's word for each answer that is missing.

    The mirrored sub-states stay as the services said them: a word is on the timeline, not there.
    """
    _refuse_unless_stuck(order)
    missing = {each.side for each in awaited(order) if each.side}
    if missing != set(repair.settled):
        raise _unsettled(missing)
    if order.status is Status.CONFIRMED:
        return repair, (OrderCompleted(order_id=order.order_id, customer_id=order.customer_id),)
    if order.status is Status.CANCELLING:
        cancelled = OrderCancelled(
            order_id=order.order_id, customer_id=order.customer_id, reason=order.reason or ""
        )
        return repair, (cancelled,)
    return repair, ()


def _missing_answers(order: Order) -> Iterable[Awaited]:
    since = order.closing_since or order.updated_at
    if not order.stock_closed:
        yield _wait("StockReleased", Side.STOCK, since, order.closing_due_at)
    if not order.payment_closed:
        taken = order.amount_captured > order.amount_refunded
        fact = "PaymentRefunded" if taken else "PaymentVoided"
        yield _wait(fact, Side.MONEY, since, order.closing_due_at)


def _missing_halves(order: Order) -> Iterable[Awaited]:
    since = order.confirmed_at or order.updated_at
    if order.stock is not Stock.COMMITTED:
        yield _wait("StockCommitted", Side.STOCK, since, order.stuck_at)
    if order.payment is not Payment.CAPTURED:
        yield _wait("PaymentCaptured", Side.MONEY, since, order.stuck_at)


def _wait(fact: str, side: Side, since: datetime, due_at: datetime | None) -> Awaited:
    return Awaited(fact, _SERVICE[side], since, side, due_at)


def _refuse_unless_stuck(order: Order) -> None:
    if order.saga is not Health.STUCK:
        raise _invalid_state(f"only a saga that is STUCK is repaired; this is {order.saga}")


def _invalid_state(detail: str) -> Refusal:
    return Refusal("invalid_state", detail, status=HTTPStatus.CONFLICT)


def _unsettled(missing: Iterable[Side]) -> Refusal:
    wanted: Sequence[str] = sorted(missing)
    detail = f"list exactly what no service has answered for: {', '.join(wanted)}"
    return Refusal(
        "validation_failed",
        "`settled` says what was settled by hand.",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        errors=[FieldError("/settled", "unsettled", detail)],
    )
