"""Staff gives money back."""

from __future__ import annotations

from http import HTTPStatus

from common import audit, outbox
from common.database import Transaction
from common.errors import Refusal
from common.message import Said

from order_service import domain
from order_service.domain import Orders, Patience, RequestRefund
from order_service.handlers.orders import save_orders
from order_service.store import lines, refunds
from order_service.store import orders as store


async def request_refund(tx: Transaction, command: RequestRefund, *, patience: Patience) -> None:
    """Take a refund on and announce it; payment and inventory carry it out.

    Refuses what is not there (404), not completed (409), or more than is left (422).
    """
    order = await store.find_and_lock(tx, command.order_id, owner=None)
    if order is None:
        raise Refusal("not_found", "there is no such order", status=HTTPStatus.NOT_FOUND)
    before = await refunds.list_of_order(tx, command.order_id)
    sold = await lines.get_lines(tx, order)
    said = [Said(domain.request_refund(order, command, sold=sold, refunds=before))]
    orders = Orders([order], now=tx.now, patience=patience)
    orders.record(order.order_id, said)
    await save_orders(tx, orders)
    await outbox.append(tx, said)
    await audit.write(
        tx,
        command.by,
        "order.refund",
        target=str(command.order_id),
        note=f"{command.refund_id}: {command.reason}",
        before={"refunds": len(before)},
        after={"refunds": len(before) + 1},
    )
