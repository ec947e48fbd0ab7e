"""Order-service's part of the saga as a table: what it decides on, and how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from common.database import Transaction
from common.deciding import Subscription
from common.message import Decisions, Event, StateRecord

from order_service import handlers
from order_service.domain import Orders, Patience, decisions
from order_service.messages import (
    LatePaymentReversed,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    ProductChanged,
    RefundFailed,
    StockCommitted,
    StockPartiallyReserved,
    StockRejected,
    StockReleased,
    StockReserved,
)
from order_service.store import catalogue

GROUP = "order-service"

DECISIONS: Decisions[Orders] = {
    StockReserved: decisions.reserve,
    StockPartiallyReserved: decisions.ask_customer,
    StockRejected: decisions.reject,
    StockCommitted: decisions.commit,
    StockReleased: decisions.release,
    PaymentAuthorized: decisions.confirm,
    PaymentDeclined: decisions.decline,
    PaymentCaptured: decisions.capture,
    PaymentCaptureFailed: decisions.give_up,
    PaymentVoided: decisions.void,
    PaymentRefunded: decisions.refund,
    RefundFailed: decisions.note_failed_refund,
    LatePaymentReversed: decisions.note_reversal,
}

STATES: Mapping[type[Event], Callable[[Transaction, Sequence[StateRecord]], Awaitable[None]]] = {
    ProductChanged: catalogue.save_products
}


def subscription(patience: Patience) -> Subscription[Orders]:
    """Say what this service hears, and how its orders are loaded and saved for it."""
    return Subscription(
        group=GROUP,
        decisions=DECISIONS,
        load=partial(handlers.load_orders, patience=patience),
        save=handlers.save_orders,
        states=STATES,
    )
