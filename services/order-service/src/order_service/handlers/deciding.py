"""A customer decides on an order of which only a part is in stock."""

from __future__ import annotations

from http import HTTPStatus

from common import outbox
from common.database import Transaction
from common.errors import Refusal
from common.message import Said

from order_service import domain
from order_service.domain import DecideOrder, Orders, Patience
from order_service.handlers.orders import save_orders
from order_service.messages import OrderLinesAmended
from order_service.store import lines as line_store
from order_service.store import orders as store


async def decide_order(tx: Transaction, command: DecideOrder, *, patience: Patience) -> None:
    """Amend the order or ask for its end, as its customer chose.

    Refuses what is not there for this caller (404), what is not to be decided (409), and what
    was to be decided before (410).
    """
    owner = None if command.by == "staff" else command.principal
    order = await store.find_and_lock(tx, command.order_id, owner=owner)
    if order is None:
        raise Refusal("not_found", "there is no such order", status=HTTPStatus.NOT_FOUND)
    lines = await line_store.get_lines(tx, order)
    event = domain.decide(order, command, lines=lines, now=tx.now)
    said = [Said(event)]
    orders = Orders([order], now=tx.now, patience=patience)
    orders.record(order.order_id, said)
    await save_orders(tx, orders)
    if isinstance(event, OrderLinesAmended):
        await line_store.amend_lines(tx, [event])
    await outbox.append(tx, said)
