"""Inventory's part of the saga as a table: what it decides on, and how."""

from __future__ import annotations

from common.deciding import Subscription
from common.message import Decisions

from inventory_service.domain import reservations
from inventory_service.domain.stockroom import Stockroom
from inventory_service.messages import (
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    RefundRequested,
)
from inventory_service.store import batches

DECISIONS: Decisions[Stockroom] = {
    OrderPlaced: reservations.reserve,
    OrderLinesAmended: reservations.amend,
    OrderConfirmed: reservations.commit,
    OrderRejected: reservations.close,
    OrderExpired: reservations.close,
    OrderCancelRequested: reservations.close,
    RefundRequested: reservations.restock,
}

SUBSCRIPTION = Subscription(
    group="inventory-service", decisions=DECISIONS, load=batches.load, save=batches.save
)
