"""How an order's history makes the order: live and when rebuilt, by the same functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from order_service.domain.order import Health, Order, Patience, Payment, Status, Stock
from order_service.domain.timers import SagaStuck, reschedule
from order_service.messages import (
    Closing,
    LatePaymentReversed,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderConfirmed,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
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
    """Fold the next event of its history into an order."""
    after = _FOLDS[type(fact)](order, fact)
    if after.is_closed and after.is_answered and after.status is not Status.CANCELLING:
        after = replace(after, saga=Health.COMPENSATED, stuck_reason=None)
    after = replace(after, version=order.version + 1, updated_at=at)
    return reschedule(order, after, at=at, patience=patience)


def _stock_reserved(order: Order, _: StockReserved) -> Order:
    return replace(order, stock=Stock.RESERVED)


def _stock_partly_reserved(order: Order, _: StockPartiallyReserved) -> Order:
    if order.status is not Status.PENDING:
        return replace(order, stock=Stock.PARTIAL)
    return replace(order, stock=Stock.PARTIAL, status=Status.ACTION_REQUIRED, saga=Health.WAITING)


def _stock_rejected(order: Order, _: StockRejected) -> Order:
    return replace(order, stock=Stock.REJECTED, stock_closed=True)


def _stock_committed(order: Order, _: StockCommitted) -> Order:
    return replace(_moving(order), stock=Stock.COMMITTED)


def _stock_released(order: Order, released: StockReleased) -> Order:
    if released.closing:
        return replace(order, stock=Stock.RELEASED, stock_closed=True)
    return order.with_note(restocked(released))


def _payment_authorized(order: Order, _: PaymentAuthorized) -> Order:
    return replace(order, payment=Payment.AUTHORIZED)


def _payment_declined(order: Order, _: PaymentDeclined) -> Order:
    return replace(order, payment=Payment.DECLINED, payment_closed=True)


def _payment_captured(order: Order, captured: PaymentCaptured) -> Order:
    return replace(_moving(order), payment=Payment.CAPTURED, amount_captured=captured.amount.amount)


def _payment_voided(order: Order, voided: PaymentVoided) -> Order:
    held = order.payment in {Payment.NONE, Payment.AUTHORIZED}
    return replace(
        order,
        payment=Payment.VOIDED if held else order.payment,
        payment_closed=order.payment_closed or voided.closing,
    )


def _payment_refunded(order: Order, refunded: PaymentRefunded) -> Order:
    returned = refunded.cumulative.amount
    # What was given back had been taken, even if an operator skipped the event that said so.
    captured = max(order.amount_captured, returned)
    return replace(
        order,
        payment=Payment.REFUNDED if returned == captured else Payment.PARTIALLY_REFUNDED,
        amount_captured=captured,
        amount_refunded=returned,
        payment_closed=order.payment_closed or refunded.closing,
    )


def _refund_failed(order: Order, failed: RefundFailed) -> Order:
    return order.with_note(refund_failed(failed))


def _late_payment_reversed(order: Order, _: LatePaymentReversed) -> Order:
    return order.with_note(LATE_PAYMENT)


def _unchanged(order: Order, _: PaymentCaptureFailed) -> Order:
    return order


def _confirmed(order: Order, _: OrderConfirmed) -> Order:
    return replace(order, status=Status.CONFIRMED)


def _completed(order: Order, _: OrderCompleted) -> Order:
    return replace(order, status=Status.COMPLETED, saga=Health.COMPLETED)


def _closed(order: Order, closing: Closing) -> Order:
    if order.is_closed:
        return replace(order, closing_attempts=order.closing_attempts + 1)
    return replace(
        order,
        status=_STATUS_OF_CLOSING[type(closing)],
        saga=Health.COMPENSATING,
        stuck_reason=None,
        reason=closing.reason,
        closed_by=closing.by,
    )


def _cancelled(order: Order, _: OrderCancelled) -> Order:
    return replace(order, status=Status.CANCELLED, saga=Health.COMPENSATED, stuck_reason=None)


def _stuck(order: Order, stuck: SagaStuck) -> Order:
    return replace(order, saga=Health.STUCK, stuck_reason=stuck.reason)


def _moving(order: Order) -> Order:
    """Take a confirmed order off the stuck list: what it waited for has begun to come."""
    if order.status is Status.CONFIRMED and order.saga is Health.STUCK:
        return replace(order, saga=Health.RUNNING, stuck_reason=None)
    return order


LATE_PAYMENT = "late_payment_reversed"
"""Noted once: an order's payment is authorised in one attempt, so it can be late only once."""


def restocked(released: StockReleased) -> str:
    return f"restocked:{released.refund_id}"


def refund_failed(failed: RefundFailed) -> str:
    return f"refund_failed:{failed.refund_id}"


_STATUS_OF_CLOSING: Mapping[type[Closing], Status] = {
    OrderRejected: Status.REJECTED,
    OrderExpired: Status.EXPIRED,
    OrderCancelRequested: Status.CANCELLING,
}

_FOLDS: Mapping[type[Any], Callable[[Order, Any], Order]] = {
    StockReserved: _stock_reserved,
    StockPartiallyReserved: _stock_partly_reserved,
    StockRejected: _stock_rejected,
    StockCommitted: _stock_committed,
    StockReleased: _stock_released,
    PaymentAuthorized: _payment_authorized,
    PaymentDeclined: _payment_declined,
    PaymentCaptured: _payment_captured,
    PaymentCaptureFailed: _unchanged,
    PaymentVoided: _payment_voided,
    PaymentRefunded: _payment_refunded,
    RefundFailed: _refund_failed,
    LatePaymentReversed: _late_payment_reversed,
    OrderConfirmed: _confirmed,
    OrderCompleted: _completed,
    OrderRejected: _closed,
    OrderExpired: _closed,
    OrderCancelRequested: _closed,
    OrderCancelled: _cancelled,
    SagaStuck: _stuck,
}

_HISTORY: tuple[type[Any], ...] = (OrderPlaced, *_FOLDS)

FACTS: Mapping[str, type[Any]] = {fact.__name__: fact for fact in _HISTORY}
"""Every type that a history may hold, by the name it is stored under."""
