"""What order-service makes of each fact that it hears; only here is decided how an order ends."""

from __future__ import annotations

from common.message import Outcome, Stale

from order_service.domain import fold
from order_service.domain.book import Orders
from order_service.domain.order import (
    OPEN,
    ImpossibleFact,
    Order,
    Payment,
    Status,
    Stock,
)
from order_service.messages import (
    LatePaymentReversed,
    Money,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderConfirmed,
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

_NOTED = Outcome()
"""The fact joins the order's history, and nothing follows from it yet."""


def reserve(orders: Orders, event: StockReserved) -> Outcome | Stale:
    """Note that everything is held; the pivot does not wait for it, since payment did."""
    order = orders.get(event.order_id)
    return _NOTED if order.stock is Stock.NONE else Stale("the stock is past that")


def ask_customer(orders: Orders, event: StockPartiallyReserved) -> Outcome | Stale:
    """Wait for the customer's decision, if the order is still open."""
    order = orders.get(event.order_id)
    if order.stock is not Stock.NONE:
        return Stale("the stock is past that")
    _refuse_if_confirmed(order)
    if not any(line.available for line in event.lines):
        raise ImpossibleFact("a part of the order is held, and nothing of it")
    return _NOTED


def reject(orders: Orders, event: StockRejected) -> Outcome | Stale:
    """End an order that can't be had; of one that is closed already, it is inventory's answer."""
    order = orders.get(event.order_id)
    if order.stock is not Stock.NONE:
        return Stale("the stock is past that")
    _refuse_if_confirmed(order)
    if order.status is Status.PENDING:
        return _rejected(order, event.reason)
    return _answered(order, other_side=order.payment_closed)


def commit(orders: Orders, event: StockCommitted) -> Outcome | Stale:
    """Complete the order once its money is taken too."""
    order = orders.get(event.order_id)
    if order.stock_closed or order.stock is Stock.COMMITTED:
        return Stale("the stock is past that")
    _refuse_unless_confirmed(order)
    return _joined(order, other_half=order.payment is Payment.CAPTURED)


def release(orders: Orders, event: StockReleased) -> Outcome | Stale:
    """Take inventory's answer to a closing; a refund's restocking is a note."""
    order = orders.get(event.order_id)
    if not event.closing:
        known = fold.restocked(event) in order.noted
        return Stale("restocked already") if known else _NOTED
    if order.stock_closed:
        return Stale("inventory answered already")
    _refuse_unless_closed(order)
    return _answered(order, other_side=order.payment_closed)


def confirm(orders: Orders, event: PaymentAuthorized) -> Outcome | Stale:
    """Pass the pivot if, and only if, the order is still pending; nothing else is looked at."""
    order = orders.get(event.order_id)
    if order.payment_closed or order.payment is not Payment.NONE:
        return Stale("the payment is past that")
    if order.status is not Status.PENDING:
        return _NOTED
    confirmed = OrderConfirmed(order_id=order.order_id, customer_id=order.customer_id)
    return Outcome(events=(confirmed,))


def decline(orders: Orders, event: PaymentDeclined) -> Outcome | Stale:
    """End an order without money; of one that is closed already, it is payment's answer."""
    order = orders.get(event.order_id)
    if order.payment_closed or order.payment is not Payment.NONE:
        return Stale("the payment is past that")
    if order.status is Status.PENDING:
        return _rejected(order, "payment_declined")
    _refuse_unless_closed(order)
    return _answered(order, other_side=order.stock_closed)


def capture(orders: Orders, event: PaymentCaptured) -> Outcome | Stale:
    """Complete the order once its stock is committed too."""
    order = orders.get(event.order_id)
    if order.payment_closed or order.payment not in {Payment.NONE, Payment.AUTHORIZED}:
        return Stale("the payment is past that")
    _refuse_unless_confirmed(order)
    if event.amount != Money(amount=order.total, currency=order.currency):
        raise ImpossibleFact("another amount than the order's total was captured")
    return _joined(order, other_half=order.stock is Stock.COMMITTED)


def give_up(orders: Orders, event: PaymentCaptureFailed) -> Outcome | Stale:
    """Undo a confirmed order whose money can't be taken: forward is no longer possible."""
    order = orders.get(event.order_id)
    if order.status is not Status.CONFIRMED:
        if order.status in OPEN:
            raise ImpossibleFact("a capture failed before the order was confirmed")
        return Stale("the order ends already, or ended well")
    if order.payment is Payment.CAPTURED:
        return Stale("the money was captured")
    requested = OrderCancelRequested(
        order_id=order.order_id,
        customer_id=order.customer_id,
        reason="capture_failed",
        by="system",
    )
    return Outcome(events=(requested,))


def void(orders: Orders, event: PaymentVoided) -> Outcome | Stale:
    """Take payment's answer to a closing."""
    order = orders.get(event.order_id)
    if order.payment_closed:
        return Stale("payment answered already")
    if not event.closing:
        held = order.payment in {Payment.NONE, Payment.AUTHORIZED}
        return _NOTED if held else Stale("the payment is past that")
    _refuse_unless_closed(order)
    return _answered(order, other_side=order.stock_closed)


def refund(orders: Orders, event: PaymentRefunded) -> Outcome | Stale:
    """Count what was given back; with `closing` it is payment's answer as well."""
    order = orders.get(event.order_id)
    answers = event.closing and not order.payment_closed
    if fold.given_back(event) in order.noted and not answers:
        return Stale("counted already")
    if event.cumulative.currency != order.currency or event.cumulative.amount > order.total:
        raise ImpossibleFact("more was refunded than the order's total, or in another currency")
    if not answers:
        _refuse_unless_confirmed(order)
        return _NOTED
    _refuse_unless_closed(order)
    return _answered(order, other_side=order.stock_closed)


def note_failed_refund(orders: Orders, event: RefundFailed) -> Outcome | Stale:
    """Note it; a closing that stays unanswered for it ends up stuck, by the timer."""
    order = orders.get(event.order_id)
    if fold.given_back(event) in order.noted:  # a restored payment-service may hear it once more
        return Stale("it was given back")
    return Stale("noted already") if fold.refund_failed(event) in order.noted else _NOTED


def note_reversal(orders: Orders, event: LatePaymentReversed) -> Outcome | Stale:
    """Note that payment gave late money back by itself."""
    order = orders.get(event.order_id)
    return Stale("noted already") if fold.LATE_PAYMENT in order.noted else _NOTED


def _rejected(order: Order, reason: str) -> Outcome:
    rejected = OrderRejected(
        order_id=order.order_id, customer_id=order.customer_id, reason=reason, by="system"
    )
    return Outcome(events=(rejected,))


def _joined(order: Order, *, other_half: bool) -> Outcome:
    if not other_half or order.status is not Status.CONFIRMED:
        return _NOTED
    completed = OrderCompleted(order_id=order.order_id, customer_id=order.customer_id)
    return Outcome(events=(completed,))


def _answered(order: Order, *, other_side: bool) -> Outcome:
    if not other_side or order.status is not Status.CANCELLING:
        return _NOTED
    cancelled = OrderCancelled(
        order_id=order.order_id, customer_id=order.customer_id, reason=order.reason or ""
    )
    return Outcome(events=(cancelled,))


def _refuse_if_confirmed(order: Order) -> None:
    if order.status not in OPEN and not order.is_closed:
        raise ImpossibleFact("stock is short of an order whose money waited for its stock")


def _refuse_unless_confirmed(order: Order) -> None:
    if order.confirmed_at is None:
        raise ImpossibleFact("only what is confirmed is committed, captured or refunded")


def _refuse_unless_closed(order: Order) -> None:
    if not order.is_closed:
        raise ImpossibleFact("an answer to a closing that was never said")
