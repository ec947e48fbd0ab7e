"""Timers fire: each sweep takes a batch of orders that are due, and answers how many it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from common import outbox
from common.database import Transaction
from common.message import Event, Said, uuid7

from order_service import domain
from order_service.domain import Order, Orders, Patience, SagaStuck
from order_service.handlers import progress
from order_service.handlers.orders import save_orders
from order_service.store import keys, refresh_tokens, refunds, timers


async def expire_orders(tx: Transaction, *, limit: int, patience: Patience) -> int:
    """End orders that were not confirmed in time."""
    due = await timers.lock_past_deadline(tx, limit)
    return await _fire(tx, due, domain.expire, patience)


async def close_again(tx: Transaction, *, limit: int, patience: Patience) -> int:
    """Say closings again whose answer is overdue, or call their sagas stuck."""

    def decide(order: Order) -> Event | SagaStuck:
        return domain.close_again(order, tx.now, patience)

    return await _fire(tx, await timers.lock_unanswered(tx, limit), decide, patience)


async def call_stuck(tx: Transaction, *, limit: int, patience: Patience) -> int:
    """Call the sagas stuck that should have completed long ago; nothing is said again."""
    due = await timers.lock_incomplete(tx, limit)
    return await _fire(tx, due, domain.miss_completion, patience)


async def forget(tx: Transaction, *, limit: int, keys_kept: timedelta) -> int:
    """Remove idempotency keys that are old enough, and refresh tokens that are over."""
    old = await keys.remove_old(tx, kept=keys_kept, limit=limit)
    return old + await refresh_tokens.remove_expired(tx, limit)


async def measure_open(tx: Transaction) -> None:
    """Show operators how many orders are under way, how many hang, and if a refund does."""
    progress.in_flight(await timers.count_open(tx))
    progress.refunding(await refunds.age_of_oldest_open(tx))


async def _fire(
    tx: Transaction,
    due: Sequence[Order],
    decide: Callable[[Order], Event | SagaStuck],
    patience: Patience,
) -> int:
    orders = Orders(due, now=tx.now, patience=patience)
    said: list[Said] = []
    for order in due:
        fact = decide(order)
        if isinstance(fact, SagaStuck):
            orders.mark_stuck(order.order_id, fact, uuid7())
        else:
            said.append(Said(fact))
            orders.record(order.order_id, said[-1:])
    await save_orders(tx, orders)
    await outbox.append(tx, said)
    return len(due)
