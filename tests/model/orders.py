"""Orders in memory: every save is checked against the history, and for legal steps only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from common.message import Received
from order_service.domain import (
    Entry,
    Order,
    Orders,
    Patience,
    Payment,
    Refund,
    RefundFact,
    Status,
    Stock,
    fold_refunds,
    opened,
)
from order_service.domain.fold import evolve
from order_service.domain.order import UNDER_WAY, UNSETTLED
from order_service.messages import OrderPlaced

from tests.model.rows import ids_of

PATIENCE = Patience()

LEGAL = {
    Status.PENDING: {
        Status.ACTION_REQUIRED,
        Status.CONFIRMED,
        Status.REJECTED,
        Status.CANCELLING,
        Status.EXPIRED,
    },
    Status.ACTION_REQUIRED: {Status.PENDING, Status.CANCELLING, Status.EXPIRED},
    Status.CONFIRMED: {Status.COMPLETED, Status.CANCELLING},
    Status.COMPLETED: {Status.SHIPPED, Status.CANCELLING},
    Status.SHIPPED: {Status.DELIVERED},
    Status.CANCELLING: {Status.CANCELLED},
}
"""The table of the saga's description; whatever is not in it is over."""


@dataclass
class OrderRows:
    """Order-service's tables."""

    orders: dict[UUID, Order] = field(default_factory=dict)
    histories: defaultdict[UUID, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    refunds: dict[UUID, Refund] = field(default_factory=dict)

    def add(self, placed: OrderPlaced, first: Entry, now: datetime) -> None:
        self.orders[placed.order_id] = opened(placed, now)
        self.histories[placed.order_id].append(first)

    def load(self, batch: Sequence[Received], now: datetime) -> Orders:
        return self.lock(ids_of(batch), now)

    def lock(self, order_ids: Iterable[UUID], now: datetime) -> Orders:
        rows = [self.orders[one] for one in order_ids if one in self.orders]
        return Orders(rows, now=now, patience=PATIENCE)

    def refunds_of(self, order_id: UUID) -> list[Refund]:
        return [each for each in self.refunds.values() if each.order_id == order_id]

    def save(self, orders: Orders) -> None:
        """Fold what happened into the rows, step by step, as a rebuild would."""
        for entry in orders.entries:
            before = self.orders[entry.order_id]
            after = evolve(before, entry.fact, at=entry.recorded_at, patience=PATIENCE)
            assert after.version == entry.version == before.version + 1
            _check_step(before, after)
            self.orders[entry.order_id] = after
            self.histories[entry.order_id].append(entry)
            if isinstance(entry.fact, RefundFact):
                self.refunds = fold_refunds(self.refunds, [(entry.fact, entry.recorded_at)])
        for order_id, order in orders.current.items():
            assert self.orders[order_id] == order


def _check_step(before: Order, after: Order) -> None:
    step = f"{before.status} → {after.status}"
    assert after.status is before.status or after.status in LEGAL.get(before.status, ()), step
    assert after.is_settled == (after.saga not in UNDER_WAY), step
    assert not after.is_settled or after.status not in UNSETTLED, step
    assert after.is_settled or not before.is_settled or after.status is Status.CANCELLING, step
    assert after.amount_refunded <= after.amount_captured <= after.total
    assert after.amount_captured >= before.amount_captured
    if after.status is Status.COMPLETED is not before.status:
        assert (after.stock, after.payment) == (Stock.COMMITTED, Payment.CAPTURED)
    if after.status is Status.CANCELLED is not before.status:
        assert after.is_answered
    assert after.amount_refunded >= before.amount_refunded
