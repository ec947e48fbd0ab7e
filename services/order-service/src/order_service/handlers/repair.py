"""An operator repairs a saga that is stuck: asks again, ends it, or gives their word."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar
from uuid import UUID

from common import audit, outbox
from common.database import Transaction
from common.errors import Refusal
from common.message import Said, uuid7

from order_service import domain
from order_service.domain import (
    Order,
    Orders,
    Patience,
    Repair,
    SagaForced,
    SagaResolved,
    SagaRetried,
)
from order_service.domain.repair import Facts
from order_service.handlers.orders import save_orders
from order_service.store import orders as store

R = TypeVar("R", bound=Repair)


async def retry_saga(
    tx: Transaction, order_id: UUID, repair: SagaRetried, *, patience: Patience
) -> Order:
    """Announce under a new event id what is owed, with fresh timers."""
    return await _repair(
        tx, order_id, repair, action="saga.retry", decide=domain.retry, patience=patience
    )


async def force_saga(
    tx: Transaction, order_id: UUID, repair: SagaForced, *, patience: Patience
) -> Order:
    """Have an order undone that can't be completed."""
    return await _repair(
        tx, order_id, repair, action="saga.force", decide=domain.force, patience=patience
    )


async def resolve_saga(
    tx: Transaction, order_id: UUID, repair: SagaResolved, *, patience: Patience
) -> Order:
    """End a saga on somebody's word."""
    return await _repair(
        tx, order_id, repair, action="saga.resolve", decide=domain.resolve, patience=patience
    )


async def _repair(
    tx: Transaction,
    order_id: UUID,
    repair: R,
    *,
    action: str,
    decide: Callable[[Order, R], Facts],
    patience: Patience,
) -> Order:
    order = await store.find_and_lock(tx, order_id, owner=None)
    if order is None:
        raise Refusal("not_found", "there is no such order", status=HTTPStatus.NOT_FOUND)
    fact, events = decide(order, repair)
    orders = Orders([order], now=tx.now, patience=patience)
    orders.note_repair(order_id, fact, uuid7())
    said = [Said(event) for event in events]
    orders.record(order_id, said)
    await save_orders(tx, orders)
    await outbox.append(tx, said)
    repaired = orders.get(order_id)
    await audit.write(
        tx,
        repair.by,
        action,
        target=str(order_id),
        note=repair.note or None,
        before={order.saga: 1},
        after={repaired.saga: 1},
    )
    return repaired
