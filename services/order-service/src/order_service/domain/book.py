"""The orders that one transaction works on, and the history that it adds to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common.message import Event, Received, Said, State, Tombstone
from typing_extensions import override

from order_service.domain.fold import evolve
from order_service.domain.order import Order, Patience, UnknownOrder
from order_service.domain.repair import Repair
from order_service.domain.timers import SagaStuck
from order_service.messages import OrderPlaced

SERVICE = "order-service"

_SAID_BY: Mapping[str, str] = {
    "orders.v1": SERVICE,
    "inventory.v1": "inventory-service",
    "payments.v1": "payment-service",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of an order's history."""

    order_id: UUID
    version: int
    fact: Event | SagaStuck | Repair
    service: str
    event_id: UUID
    causation_id: UUID | None
    occurred_at: datetime
    recorded_at: datetime

    @property
    def type_name(self) -> str:
        return type(self.fact).__name__


class Orders(State):
    """Orders under their locks; what happens to them is folded in and remembered for the save."""

    def __init__(self, orders: Iterable[Order], *, now: datetime, patience: Patience) -> None:
        """Take orders as loaded; `now` is the database's clock."""
        self._loaded = {order.order_id: order for order in orders}
        self._now = now
        self._patience = patience
        self.current = dict(self._loaded)
        self.entries: list[Entry] = []

    def get(self, order_id: UUID) -> Order:
        """Look at an order, or raise UnknownOrder."""
        try:
            return self.current[order_id]
        except KeyError:
            raise UnknownOrder(order_id) from None

    def changes(self) -> list[tuple[Order, Order]]:
        """Pair each order that changed with what it was, in id order."""
        pairs = ((self._loaded[order_id], self.current[order_id]) for order_id in self._loaded)
        return sorted(
            (pair for pair in pairs if pair[0] is not pair[1]), key=lambda pair: pair[1].order_id
        )

    @override
    def apply(self, message: Received, changes: tuple[object, ...], said: Sequence[Said]) -> None:
        """Fold in a fact that was heard, then all that was said in answer to it."""
        order_id = UUID(message.event.key())
        self._add(
            order_id,
            message.event,
            event_id=message.event_id,
            causation_id=message.causation_id,
            occurred_at=message.occurred_at,
        )
        self.record(order_id, said)

    def record(self, order_id: UUID, said: Iterable[Said]) -> None:
        """Fold in what this service says."""
        for each in said:
            if not isinstance(each.event, Tombstone):
                cause = each.cause.event_id if each.cause else None
                self._add(order_id, each.event, event_id=each.event_id, causation_id=cause)

    def mark_stuck(self, order_id: UUID, stuck: SagaStuck, event_id: UUID) -> None:
        """Fold in that the saga hangs; nobody is told but the operators."""
        self._add(order_id, stuck, event_id=event_id, causation_id=None)

    def note_repair(self, order_id: UUID, repair: Repair, event_id: UUID) -> None:
        """Fold in what an operator did; who it was and why stays in the history."""
        self._add(order_id, repair, event_id=event_id, causation_id=None)

    def _add(
        self,
        order_id: UUID,
        fact: Event | SagaStuck | Repair,
        *,
        event_id: UUID,
        causation_id: UUID | None,
        occurred_at: datetime | None = None,
    ) -> None:
        before = self.get(order_id)
        # A transaction that waited for the lock began before the one it waited for ended.
        at = max(self._now, before.updated_at)
        after = evolve(before, fact, at=at, patience=self._patience)
        self.current[order_id] = after
        entry = Entry(
            order_id=order_id,
            version=after.version,
            fact=fact,
            service=_SAID_BY[fact.TOPIC] if isinstance(fact, Event) else SERVICE,
            event_id=event_id,
            causation_id=causation_id,
            occurred_at=occurred_at or at,
            recorded_at=at,
        )
        self.entries.append(entry)


def first_entry(placed: OrderPlaced, *, event_id: UUID, now: datetime) -> Entry:
    """Begin an order's history."""
    return Entry(
        order_id=placed.order_id,
        version=1,
        fact=placed,
        service=SERVICE,
        event_id=event_id,
        causation_id=None,
        occurred_at=now,
        recorded_at=now,
    )
