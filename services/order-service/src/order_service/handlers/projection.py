"""The projection is made anew from the orders' histories."""

from __future__ import annotations

from uuid import UUID

from common.database import Transaction

from order_service import domain
from order_service.domain import Patience
from order_service.store import history
from order_service.store import orders as store

BATCH = 500
"""Orders of one transaction: their locks are held until it ends."""


async def rebuild_projection(
    tx: Transaction, *, after: UUID | None, patience: Patience
) -> list[UUID]:
    """Fold the next histories into their orders' rows; answers which, and none at the end."""
    order_ids = await history.list_order_ids(tx, after=after, limit=BATCH)
    # Before the histories are read: no fact may fall between the reading and the writing.
    await store.lock_orders(tx, order_ids)
    histories = await history.get_histories(tx, order_ids)
    await history.remove_orders(tx, order_ids)
    rebuilt = [domain.refold(recorded, patience) for recorded in histories.values()]
    await store.add_orders(tx, rebuilt)
    return order_ids
