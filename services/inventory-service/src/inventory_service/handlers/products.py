"""The catalogue: products added and changed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from common import telemetry
from common.database import Transaction
from common.errors import FieldError, Refusal

from inventory_service.domain import products
from inventory_service.domain.products import AddProduct, ChangeProduct
from inventory_service.domain.stockroom import Shelf, Stockroom
from inventory_service.handlers.speaking import say
from inventory_service.store import batches, catalogue

_log = telemetry.get_logger()


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
    await say(tx, (shelf.announcement() for shelf in shelves))
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
        await say(tx, [changed.announcement()])
        _log.info("product changed", sku=command.sku, version=changed.version)
    return changed


def _unknown() -> Refusal:
    return Refusal("not_found", "no product has this sku", status=HTTPStatus.NOT_FOUND)
