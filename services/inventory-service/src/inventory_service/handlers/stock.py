"""The count of stock: corrections by hand, and the alert of rule 8."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from common import telemetry
from common.database import Database, Transaction
from common.errors import Refusal
from prometheus_client import Gauge

from inventory_service.domain import products
from inventory_service.domain.products import AdjustStock, Promise, promise
from inventory_service.domain.stockroom import Shelf, Stockroom
from inventory_service.handlers.speaking import say
from inventory_service.store import batches, ledger, stock

OVERDUE_AFTER = timedelta(minutes=5)
"""Past the deadline OrderExpired is on its way; so much later it has been lost."""

_log = telemetry.get_logger()
_overdue = Gauge(
    "pedido_reservations_overdue", "Reservations held 5 minutes past their order's deadline"
)


async def adjust_stock(tx: Transaction, command: AdjustStock) -> Shelf:
    """Correct a product's count through the ledger; never below what is reserved.

    What a reference has moved before it does not move again.
    """
    room = Stockroom(shelves=await batches.lock_shelves(tx, [command.sku]))
    if command.reference is not None and await _is_booked(tx, command, command.reference):
        return room.shelves[command.sku]
    outcome = products.adjust(room, command)
    for change in outcome.changes:
        room.fold(change)
    await batches.save(tx, room)
    await say(tx, outcome.events)
    _log.info("stock adjusted", sku=command.sku, count=command.quantity, user_id=command.made_by)
    return room.shelves[command.sku]


async def _is_booked(tx: Transaction, command: AdjustStock, reference: str) -> bool:
    booked = await ledger.find_referenced(tx, command.sku, reference)
    if booked is not None and booked != command.quantity:
        raise Refusal(
            "reference_used",
            f"this reference moved the product by {booked} before: use another one",
        )
    return booked is not None


async def check_availability(tx: Transaction, wanted: Mapping[str, int]) -> dict[str, Promise]:
    """Say of each product whether so many could be ordered now; nothing is held."""
    available = await stock.list_available(tx, list(wanted))
    return {sku: promise(available.get(sku, 0), quantity) for sku, quantity in wanted.items()}


async def watch_overdue(database: Database) -> int:
    """Refresh the gauge that rule 8's alert looks at; there is never more to do at once."""
    async with database.transaction() as tx:
        overdue = await ledger.count_overdue(tx, OVERDUE_AFTER)
    _overdue.set(overdue)
    if overdue:
        _log.warning("reservations outlive their orders' deadlines", count=overdue)
    return 0
