"""What staff does with an order that is paid for: ship it, and note that it arrived."""

from uuid import UUID

from common.auth import Staff
from common.database import Transaction
from common.http import Router
from common.openapi import refuses
from common.problem import not_found

from order_service import handlers
from order_service.api.parts import PartsOf
from order_service.api.shapes import OrderStatus
from order_service.store import reads

router = Router(tags=["orders"])


@router.post("/orders/{order_id}/ship", responses=refuses(invalid_state=409))
async def ship_order(order_id: UUID, staff: Staff, parts: PartsOf) -> OrderStatus:
    """Hand a completed order over to a carrier; asked again, the answer is the same."""
    async with parts.database.transaction() as tx:
        await handlers.ship_order(tx, order_id, by=staff.id, patience=parts.patience)
        return await _status_of(tx, order_id)


@router.post("/orders/{order_id}/deliver", responses=refuses(invalid_state=409))
async def deliver_order(order_id: UUID, staff: Staff, parts: PartsOf) -> OrderStatus:
    """Note that a shipped order reached its customer; asked again, the answer is the same."""
    async with parts.database.transaction() as tx:
        await handlers.deliver_order(tx, order_id, by=staff.id, patience=parts.patience)
        return await _status_of(tx, order_id)


async def _status_of(tx: Transaction, order_id: UUID) -> OrderStatus:
    row = await reads.find_order(tx, order_id, None)
    if row is None:
        raise not_found()
    return OrderStatus.of(row)
