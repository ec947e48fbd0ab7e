"""Use cases that come from outside: the catalogue, the count of stock, and the alert of rule 8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from http import HTTPStatus

from common import outbox, telemetry
from common.database import Database, Transaction
from common.errors import FieldError, Refusal
from common.message import Event, Said, Versioned
from prometheus_client import Gauge

from inventory_service.domain import products
from inventory_service.domain.products import AddProduct, AdjustStock, ChangeProduct
from inventory_service.domain.stockroom import Shelf, Stockroom
from inventory_service.store import batches, catalogue

OVERDUE_AFTER = timedelta(minutes=5)
"""Past the deadline OrderExpired is on its way; so much later it has been lost."""

_log = telemetry.get_logger()
_overdue = Gauge(
    "pedido_reservations_overdue", "Reservations held 5 minutes past their order's deadline"
)


async def add_products(tx: Transaction, commands: Sequence[AddProduct]) -> list[Shelf]:
    """Add and announce all of them, or none if one sku is taken."""
    room = Stockroom(shelves={command.sku: products.add(command) for command in commands})
    added = await catalogue.add_products(tx, list(room.shelves.values()))
    taken = [index for index, command in enumerate(commands) if command.sku not in added]
    if taken:
        raise Refusal(
            "sku_taken",
            "a product with this sku exists: change it instead",
            errors=[
                FieldError(f"/products/{index}/sku", "sku_taken", "this sku exists")
                for index in taken
            ],
        )
    for command in commands:
        for movement in products.fill(command):
            room.fold(movement)
    await batches.save(tx, room)
    shelves = list(room.shelves.values())
    await outbox.append(tx, _said(shelf.announcement() for shelf in shelves))
    _log.info("products added", count=len(shelves))
    return shelves


async def get_product(tx: Transaction, sku: str) -> Shelf:
    shelf = await catalogue.find_shelf(tx, sku)
    if shelf is None:
        raise _unknown()
    return shelf


async def change_product(tx: Transaction, command: ChangeProduct) -> Shelf:
    """Change what the catalogue says of a product, and announce it if anything is different."""
    shelf = (await batches.lock_shelves(tx, [command.sku])).get(command.sku)
    if shelf is None:
        raise _unknown()
    changed = products.change(shelf, command)
    if changed != shelf:
        await catalogue.save_product(tx, changed)
        await outbox.append(tx, _said([changed.announcement()]))
        _log.info("product changed", sku=command.sku, version=changed.version)
    return changed


async def adjust_stock(tx: Transaction, command: AdjustStock) -> Shelf:
    """Correct a product's count through the ledger; never below what is reserved."""
    room = Stockroom(shelves=await batches.lock_shelves(tx, [command.sku]))
    outcome = products.adjust(room, command)
    for change in outcome.changes:
        room.fold(change)
    await batches.save(tx, room)
    await outbox.append(tx, _said(outcome.events))
    _log.info("stock adjusted", sku=command.sku, count=command.quantity)
    return room.shelves[command.sku]


async def watch_overdue(database: Database) -> int:
    """Refresh the gauge that rule 8's alert looks at; there is never more to do at once."""
    async with database.transaction() as tx:
        overdue = await catalogue.count_overdue(tx, OVERDUE_AFTER)
    _overdue.set(overdue)
    if overdue:
        _log.warning("reservations outlive their orders' deadlines", count=overdue)
    return 0


def _unknown() -> Refusal:
    return Refusal("not_found", "no product has this sku", status=HTTPStatus.NOT_FOUND)


def _said(events: Iterable[Event | Versioned]) -> list[Said]:
    return [
        Said(event.event, version=event.version) if isinstance(event, Versioned) else Said(event)
        for event in events
    ]
