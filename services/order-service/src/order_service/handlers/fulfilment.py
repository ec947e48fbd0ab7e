"""Staff ships orders and notes that they have arrived."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from uuid import UUID

from common import audit, outbox
from common.database import Transaction
from common.errors import Refusal
from common.message import Event, Said

from order_service import domain
from order_service.domain import Order, Orders, Patience
from order_service.handlers.orders import save_orders
from order_service.store import orders as store


async def ship_order(tx: Transaction, order_id: UUID, *, by: UUID, patience: Patience) -> None:
    """Hand a completed order over to a carrier; one that is shipped already stays as it is."""
    await _advance(tx, order_id, by=by, action="order.ship", decide=domain.ship, patience=patience)


async def deliver_order(tx: Transaction, order_id: UUID, *, by: UUID, patience: Patience) -> None:
    """Note that a shipped order arrived; one that is delivered already stays as it is."""
    await _advance(
        tx, order_id, by=by, action="order.deliver", decide=domain.deliver, patience=patience
    )


async def _advance(
    tx: Transaction,
    order_id: UUID,
    *,
    by: UUID,
    action: str,
    decide: Callable[[Order], Event | None],
    patience: Patience,
) -> None:
    order = await store.find_and_lock(tx, order_id, owner=None)
    if order is None:
        raise Refusal("not_found", "there is no such order", status=HTTPStatus.NOT_FOUND)
    event = decide(order)
    if event is None:
        return
    said = [Said(event)]
    orders = Orders([order], now=tx.now, patience=patience)
    orders.record(order_id, said)
    await save_orders(tx, orders)
    await outbox.append(tx, said)
    await audit.write(
        tx,
        by,
        action,
        target=str(order_id),
        note=None,
        before={order.status: 1},
        after={orders.get(order_id).status: 1},
    )
