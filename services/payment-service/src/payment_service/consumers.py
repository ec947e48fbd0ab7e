"""Payment's part of the saga: which event is decided by what."""

from __future__ import annotations

from common.deciding import Subscription
from common.message import Decisions

from payment_service.domain import decisions
from payment_service.domain.payment import Book
from payment_service.messages import (
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    RefundRequested,
    StockPartiallyReserved,
    StockReserved,
)
from payment_service.store import batches

DECISIONS: Decisions[Book] = {
    OrderPlaced: decisions.place,
    OrderLinesAmended: decisions.amend,
    OrderConfirmed: decisions.confirm,
    OrderRejected: decisions.close,
    OrderExpired: decisions.close,
    OrderCancelRequested: decisions.close,
    RefundRequested: decisions.refund,
    StockReserved: decisions.reserve,
    StockPartiallyReserved: decisions.wait,
}

SUBSCRIPTION = Subscription(
    "payment-service", decisions=DECISIONS, load=batches.load, save=batches.save
)
