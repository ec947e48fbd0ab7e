"""Categories: named by admins, and removed once no product is in them."""

from __future__ import annotations

from http import HTTPStatus

import asyncpg
from common import telemetry
from common.database import Transaction
from common.errors import Refusal

from inventory_service.store import categories as store
from inventory_service.store.categories import Row

_log = telemetry.get_logger()


async def add_category(tx: Transaction, category: str, name: str) -> Row:
    added = await store.add_category(tx, category, name)
    if added is None:
        raise Refusal("category_taken", "there is such a category: rename it instead")
    _log.info("category added", category=category)
    return added


async def get_category(tx: Transaction, category: str) -> Row:
    found = await store.find_category(tx, category)
    if found is None:
        raise _unknown()
    return found


async def rename_category(tx: Transaction, category: str, name: str) -> Row:
    renamed = await store.rename_category(tx, category, name)
    if renamed is None:
        raise _unknown()
    return renamed


async def remove_category(tx: Transaction, category: str) -> None:
    """Remove a category that no product is in."""
    try:
        found = await store.remove_category(tx, category)
    except asyncpg.ForeignKeyViolationError:
        raise Refusal("category_in_use", "products are in this category: move them first") from None
    if not found:
        raise _unknown()
    _log.info("category removed", category=category)


def _unknown() -> Refusal:
    return Refusal("not_found", "there is no such category", status=HTTPStatus.NOT_FOUND)
