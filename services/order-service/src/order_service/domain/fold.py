"""How an order's history makes the order: live and when rebuilt, by the same functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from order_service.domain.order import Health, Order, Patience, Payment, Status, Stock
from order_service.domain.repair import SagaForced, SagaResolved, SagaRetried
from order_service.domain.timers import SagaStuck, reschedule
from order_service.messages import (
    Closing,
    LatePaymentReversed,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderConfirmed,
    OrderDelivered,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    StockCommitted,
    StockPartiallyReserved,
    StockRejected,
    StockReleased,
    StockReserved,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event of a history, and when it was written."""

    fact: Any
    at: datetime


def refold(history: Sequence[Recorded], patience: Patience) -> Order:
    """Make an order from its whole history."""
    first, *rest = history
    order = opened(first.fact, first.at)
    for each in rest:
        order = evolve(order, each.fact, at=each.at, patience=patience)
    return order


def opened(placed: OrderPlaced, at: datetime) -> Order:
    """Begin an order with the first event of its history."""
    return Order(
        order_id=placed.order_id,
        customer_id=placed.customer_id,
        total=placed.total.amount,
        currency=placed.total.currency,
        deadline_at=placed.deadline_at,
        created_at=at,
        updated_at=at,
    )


def evolve(order: Order, fact: object, *, at: datetime, patience: Patience) -> Order:
    """Fold the next event of its history into an order; the order that is given stays as it is."""
    after = order.copy()
    _FOLDS[type(fact)](after, fact)
    if after.is_closed and after.is_answered and after.status is not Status.CANCELLING:
        after.saga, after.stuck_reason = Health.COMPENSATED, None
    after.version += 1
    after.updated_at = at
    reschedule(order, after, at=at, patience=patience)
    return after


def _stock_reserved(order: Order, _: StockReserved) -> None:
    order.stock = Stock.RESERVED


def _stock_partly_reserved(order: Order, partly: StockPartiallyReserved) -> None:
    order.stock = Stock.PARTIAL
    if order.status is Status.PENDING:
        order.status, order.saga = Status.ACTION_REQUIRED, Health.WAITING
        order.offer = {line.line_no: line.available for line in partly.lines if line.available}


def _lines_amended(order: Order, amended: OrderLinesAmended) -> None:
    order.status, order.saga = Status.PENDING, Health.RUNNING
    order.total, order.offer = amended.total.amount, None


def _stock_rejected(order: Order, _: StockRejected) -> None:
    order.stock, order.stock_closed = Stock.REJECTED, True


def _stock_committed(order: Order, _: StockCommitted) -> None:
    _move(order)
    order.stock = Stock.COMMITTED


def _stock_released(order: Order, released: StockReleased) -> None:
    if released.closing:
        order.stock, order.stock_closed = Stock.RELEASED, True
    else:
        order.noted |= {restocked(released)}


def _payment_authorized(order: Order, _: PaymentAuthorized) -> None:
    order.payment = Payment.AUTHORIZED


def _payment_declined(order: Order, _: PaymentDeclined) -> None:
    order.payment, order.payment_closed = Payment.DECLINED, True


def _payment_captured(order: Order, captured: PaymentCaptured) -> None:
    _move(order)
    order.payment, order.amount_captured = Payment.CAPTURED, captured.amount.amount


def _payment_voided(order: Order, voided: PaymentVoided) -> None:
    if order.payment in {Payment.NONE, Payment.AUTHORIZED}:
        order.payment = Payment.VOIDED
    order.payment_closed |= voided.closing


def _payment_refunded(order: Order, refunded: PaymentRefunded) -> None:
    order.noted |= {given_back(refunded)}
    # One that was skipped at first may come after a later one that counts it in.
    order.amount_refunded = max(order.amount_refunded, refunded.cumulative.amount)
    # What was given back had been taken, even if an operator skipped the event that said so.
    order.amount_captured = max(order.amount_captured, order.amount_refunded)
    whole = order.amount_refunded == order.amount_captured
    order.payment = Payment.REFUNDED if whole else Payment.PARTIALLY_REFUNDED
    order.payment_closed |= refunded.closing


def _refund_failed(order: Order, failed: RefundFailed) -> None:
    order.noted |= {refund_failed(failed)}


def _late_payment_reversed(order: Order, _: LatePaymentReversed) -> None:
    order.noted |= {LATE_PAYMENT}


def _nothing(_: Order, _fact: PaymentCaptureFailed | RefundRequested) -> None:
    """Keep the order as it is: what follows is the next event's to say."""


def _confirmed(order: Order, _: OrderConfirmed) -> None:
    order.status = Status.CONFIRMED


def _completed(order: Order, _: OrderCompleted) -> None:
    order.status, order.saga = Status.COMPLETED, Health.COMPLETED


def _shipped(order: Order, _: OrderShipped) -> None:
    order.status = Status.SHIPPED


def _delivered(order: Order, _: OrderDelivered) -> None:
    order.status = Status.DELIVERED


def _closed(order: Order, closing: Closing) -> None:
    if order.is_closed:
        order.closing_attempts += 1
        return
    order.status, order.offer = _STATUS_OF_CLOSING[type(closing)], None
    order.saga, order.stuck_reason = Health.COMPENSATING, None
    order.reason, order.closed_by = closing.reason, closing.by


def _cancelled(order: Order, _: OrderCancelled) -> None:
    order.status = Status.CANCELLED
    order.saga, order.stuck_reason = Health.COMPENSATED, None


def _stuck(order: Order, stuck: SagaStuck) -> None:
    order.saga, order.stuck_reason = Health.STUCK, stuck.reason


def _retried(order: Order, _: SagaRetried) -> None:
    order.saga, order.stuck_reason = _unstuck(order), None
    order.closing_since, order.closing_attempts = None, 0


def _forced(order: Order, _: SagaForced) -> None:
    order.saga, order.stuck_reason = _unstuck(order), None


def _resolved(order: Order, _: SagaResolved) -> None:
    """End a closing on an operator's word; a completion is ended by the event that follows."""
    over = order.is_closed and order.status is not Status.CANCELLING
    order.saga = Health.COMPENSATED if over else _unstuck(order)
    order.stuck_reason = None


def _unstuck(order: Order) -> Health:
    return Health.COMPENSATING if order.is_closed else Health.RUNNING


def _move(order: Order) -> None:
    """Take a confirmed order off the stuck list: what it waited for has begun to come."""
    if order.status is Status.CONFIRMED and order.saga is Health.STUCK:
        order.saga, order.stuck_reason = Health.RUNNING, None


LATE_PAYMENT = "late_payment_reversed"
"""Noted once: an order's payment is authorised in one attempt, so it can be late only once."""


def restocked(released: StockReleased) -> str:
    return f"restocked:{released.refund_id}"


def given_back(refund: PaymentRefunded | RefundFailed) -> str:
    return f"refunded:{refund.refund_id}"


def refund_failed(failed: RefundFailed) -> str:
    return f"refund_failed:{failed.refund_id}"


_STATUS_OF_CLOSING: Mapping[type[Closing], Status] = {
    OrderRejected: Status.REJECTED,
    OrderExpired: Status.EXPIRED,
    OrderCancelRequested: Status.CANCELLING,
}

_FOLDS: Mapping[type[Any], Callable[[Order, Any], None]] = {
    StockReserved: _stock_reserved,
    StockPartiallyReserved: _stock_partly_reserved,
    StockRejected: _stock_rejected,
    StockCommitted: _stock_committed,
    StockReleased: _stock_released,
    PaymentAuthorized: _payment_authorized,
    PaymentDeclined: _payment_declined,
    PaymentCaptured: _payment_captured,
    PaymentCaptureFailed: _nothing,
    PaymentVoided: _payment_voided,
    PaymentRefunded: _payment_refunded,
    RefundFailed: _refund_failed,
    LatePaymentReversed: _late_payment_reversed,
    OrderLinesAmended: _lines_amended,
    OrderConfirmed: _confirmed,
    OrderCompleted: _completed,
    RefundRequested: _nothing,
    OrderShipped: _shipped,
    OrderDelivered: _delivered,
    OrderRejected: _closed,
    OrderExpired: _closed,
    OrderCancelRequested: _closed,
    OrderCancelled: _cancelled,
    SagaStuck: _stuck,
    SagaRetried: _retried,
    SagaForced: _forced,
    SagaResolved: _resolved,
}

_HISTORY: tuple[type[Any], ...] = (OrderPlaced, *_FOLDS)

FACTS: Mapping[str, type[Any]] = {fact.__name__: fact for fact in _HISTORY}
"""Every type that a history may hold, by the name it is stored under."""
