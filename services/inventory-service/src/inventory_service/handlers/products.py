"""The catalogue: products added, changed and removed by hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from http import HTTPStatus
from uuid import UUID

from common import telemetry
from common.database import Database, Transaction
from common.errors import FieldError, Refusal

from inventory_service.domain import products
from inventory_service.domain.products import AddProduct, ChangeProduct
from inventory_service.domain.stockroom import Shelf, Stockroom
from inventory_service.handlers.speaking import say, say_removed
from inventory_service.store import batches, catalogue, categories

_TOMBSTONES = 500
"""Of one transaction; removing a whole catalogue at once is rare and in no hurry."""

_log = telemetry.get_logger()


async def add_products(
    tx: Transaction, commands: Sequence[AddProduct], made_by: UUID | None = None
) -> list[Shelf]:
    """Add and announce all of them, or none if one sku is taken; a removed one comes back."""
    await _hold_categories(tx, {command.category for command in commands if command.category})
    new = {command.sku: products.add(command) for command in commands}
    added = await catalogue.add_products(tx, list(new.values()))
    known = await batches.lock_shelves(tx, new.keys() - added)
    _refuse_taken(commands, {sku for sku, shelf in known.items() if not shelf.removed})
    revived = {
        command.sku: products.revive(known[command.sku], command)
        for command in commands
        if command.sku in known
    }
    if revived:
        await catalogue.save_products(tx, list(revived.values()))
    room = Stockroom(shelves=new | revived)
    for command in commands:
        for movement in products.fill(room.shelves[command.sku], command, made_by):
            room.fold(movement)
    await batches.save(tx, room)
    shelves = list(room.shelves.values())
    await say(tx, (shelf.announcement() for shelf in shelves))
    _log.info("products added", count=len(shelves), revived=len(revived))
    return shelves


async def get_product(tx: Transaction, sku: str) -> Shelf:
    shelf = await catalogue.find_shelf(tx, sku)
    if shelf is None:
        raise _unknown()
    return shelf


async def change_product(tx: Transaction, command: ChangeProduct) -> Shelf:
    """Change what the catalogue says of a product, and announce it if anything is different."""
    if command.category:
        await _hold_categories(tx, {command.category})
    shelf = await _lock_product(tx, command.sku)
    changed = products.change(shelf, command)
    if changed != shelf:
        await catalogue.save_products(tx, [changed])
        await say(tx, [changed.announcement()])
        _log.info("product changed", sku=command.sku, version=changed.version)
    return changed


async def remove_product(tx: Transaction, sku: str) -> None:
    """Take a product out of the catalogue; what is held of it is still sold or given back."""
    gone = products.remove(await _lock_product(tx, sku))
    await catalogue.save_products(tx, [gone])
    await say_removed(tx, [(gone.sku, gone.version)])
    _log.info("product removed", sku=sku, version=gone.version)


async def repeat_tombstones(database: Database) -> int:
    """Say removals again whose time has come; answers how many there were."""
    async with database.transaction() as tx:
        due = await catalogue.take_due_tombstones(tx, _TOMBSTONES)
        await say_removed(tx, due)
    return len(due)


async def _lock_product(tx: Transaction, sku: str) -> Shelf:
    shelf = (await batches.lock_shelves(tx, [sku])).get(sku)
    if shelf is None or shelf.removed:
        raise _unknown()
    return shelf


async def _hold_categories(tx: Transaction, wanted: set[str]) -> None:
    if wanted and wanted - await categories.hold_categories(tx, wanted):
        raise Refusal(
            "unknown_category",
            "there is no such category: add it first",
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
        )


def _refuse_taken(commands: Sequence[AddProduct], taken: Collection[str]) -> None:
    if taken:
        raise Refusal(
            "sku_taken",
            "a product with this sku exists: change it instead",
            errors=[
                FieldError(f"/products/{index}/sku", "sku_taken", "this sku exists")
                for index, command in enumerate(commands)
                if command.sku in taken
            ],
        )


def _unknown() -> Refusal:
    return Refusal("not_found", "no product has this sku", status=HTTPStatus.NOT_FOUND)
