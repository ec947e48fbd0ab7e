"""The count of stock: corrections by hand, and the alert of rule 8."""

from __future__ import annotations

from datetime import timedelta

from common import telemetry
from common.database import Database, Transaction
from prometheus_client import Gauge

from inventory_service.domain import products
from inventory_service.domain.products import AdjustStock
from inventory_service.domain.stockroom import Shelf, Stockroom
from inventory_service.handlers.speaking import say
from inventory_service.store import batches, ledger

OVERDUE_AFTER = timedelta(minutes=5)
"""Past the deadline OrderExpired is on its way; so much later it has been lost."""

_log = telemetry.get_logger()
_overdue = Gauge(
    "pedido_reservations_overdue", "Reservations held 5 minutes past their order's deadline"
)


async def adjust_stock(tx: Transaction, command: AdjustStock) -> Shelf:
    """Correct a product's count through the ledger; never below what is reserved."""
    room = Stockroom(shelves=await batches.lock_shelves(tx, [command.sku]))
    outcome = products.adjust(room, command)
    for change in outcome.changes:
        room.fold(change)
    await batches.save(tx, room)
    await say(tx, outcome.events)
    _log.info("stock adjusted", sku=command.sku, count=command.quantity, user_id=command.made_by)
    return room.shelves[command.sku]


async def watch_overdue(database: Database) -> int:
    """Refresh the gauge that rule 8's alert looks at; there is never more to do at once."""
    async with database.transaction() as tx:
        overdue = await ledger.count_overdue(tx, OVERDUE_AFTER)
    _overdue.set(overdue)
    if overdue:
        _log.warning("reservations outlive their orders' deadlines", count=overdue)
    return 0
