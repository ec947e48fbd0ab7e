"""The projection is made anew from the orders' histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from common.database import Transaction

from order_service import domain
from order_service.domain import Patience, Recorded, RefundFact
from order_service.messages import OrderLinesAmended
from order_service.store import history, refunds
from order_service.store import lines as line_store
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
    rebuilt = [domain.refold(recorded, patience) for recorded in histories.values()]
    await store.put_orders(tx, rebuilt)
    await _rebuild_refunds(tx, histories)
    facts = [each.fact for recorded in histories.values() for each in recorded]
    await line_store.amend_lines(tx, [f for f in facts if isinstance(f, OrderLinesAmended)])
    return order_ids


async def _rebuild_refunds(tx: Transaction, histories: Mapping[UUID, Sequence[Recorded]]) -> None:
    facts = [
        (each.fact, each.at)
        for recorded in histories.values()
        for each in recorded
        if isinstance(each.fact, RefundFact)
    ]
    await refunds.remove_refunds(tx, list(histories))
    await refunds.save_refunds(tx, domain.fold_refunds({}, facts).values())
