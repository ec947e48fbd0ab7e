"""Orders are placed and cancelled, and loaded and saved for what happens to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from common import outbox
from common.database import Transaction
from common.errors import Refusal
from common.message import Received, Said

from order_service import domain
from order_service.domain import (
    CancelOrder,
    Caps,
    Order,
    Orders,
    Patience,
    Placed,
    PlaceOrder,
    RefundFact,
)
from order_service.handlers import progress
from order_service.store import addresses, placing, refunds
from order_service.store import orders as store
from order_service.store.placing import Terms

STANDARD = Patience()
"""The design's own durations."""

NORMAL = Caps()
"""What a wholesaler's busiest customer stays far below."""


async def place_orders(
    tx: Transaction,
    commands: Sequence[PlaceOrder],
    *,
    patience: Patience = STANDARD,
    caps: Caps = NORMAL,
) -> list[Placed | Refusal]:
    """Store each order as pending and announce it, or refuse it and do neither."""
    terms = await placing.get_terms(tx, commands, caps)
    deadline_at = tx.now + patience.deadline
    outcomes = [_decide(command, terms, deadline_at) for command in commands]
    placed = [outcome for outcome in outcomes if isinstance(outcome, Placed)]
    if placed:
        await _open(tx, placed)
    return outcomes


async def cancel_order(
    tx: Transaction, command: CancelOrder, *, patience: Patience = STANDARD
) -> Order:
    """Ask for the end of an order and return it as it is then.

    Refuses what is not there for this caller (404) and what can't be cancelled any more (409).
    """
    owner = None if command.by == "staff" else command.principal
    order = await store.find_and_lock(tx, command.order_id, owner=owner)
    if order is None:
        raise Refusal("not_found", "there is no such order", status=HTTPStatus.NOT_FOUND)
    said = [Said(domain.cancel(order, command))]
    orders = Orders([order], now=tx.now, patience=patience)
    orders.record(order.order_id, said)
    await save_orders(tx, orders)
    await outbox.append(tx, said)
    return orders.get(order.order_id)


async def load_orders(
    tx: Transaction, messages: Sequence[Received], *, patience: Patience
) -> Orders:
    """Lock and read the orders that a batch of facts is about."""
    ids = [UUID(message.event.key()) for message in messages]
    return Orders(await store.lock_orders(tx, ids), now=tx.now, patience=patience)


async def save_orders(tx: Transaction, orders: Orders) -> None:
    """Write the orders that changed, and what happened to them."""
    changes = orders.changes()
    if changes:
        await store.save_orders(tx, [after for _, after in changes], orders.entries)
        await _save_refunds(tx, orders)
        progress.moved(changes)


async def _save_refunds(tx: Transaction, orders: Orders) -> None:
    facts = [
        (entry.fact, entry.recorded_at)
        for entry in orders.entries
        if isinstance(entry.fact, RefundFact)
    ]
    if facts:
        found = await refunds.get_refunds(tx, [fact.refund_id for fact, _ in facts])
        known = {refund.refund_id: refund for refund in found}
        await refunds.save_refunds(tx, domain.fold_refunds(known, facts).values())


def _decide(command: PlaceOrder, terms: Terms, deadline_at: datetime) -> Placed | Refusal:
    """Decide on one order of a batch, and count what is taken for the next one."""
    if command.customer_id in terms.barred:
        status = HTTPStatus.UNAUTHORIZED
        return Refusal("unauthenticated", "this account is no more", status=status)
    outcome = domain.place(command, terms.catalogue, deadline_at=deadline_at)
    if isinstance(outcome, Refusal):
        return outcome
    return terms.holdings.take(command) or outcome


async def _open(tx: Transaction, placed: Sequence[Placed]) -> None:
    said = [Said(each.event, cause=each.cause) for each in placed]
    orders = [domain.opened(each.event, tx.now) for each in placed]
    entries = [
        domain.first_entry(each.event, event_id=words.event_id, now=tx.now)
        for each, words in zip(placed, said, strict=True)
    ]
    await placing.open_orders(tx, placed, orders, entries)
    await addresses.add_addresses(tx, placed)
    await outbox.append(tx, said)
    progress.started(len(placed))
