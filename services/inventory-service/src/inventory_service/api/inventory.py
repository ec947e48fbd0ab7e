"""Stock over HTTP, for staff: how many pieces of each product there are."""

from __future__ import annotations

from typing import Annotated

from common.http import Router
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query

from inventory_service import handlers
from inventory_service.api.parts import DatabaseOf, Staff
from inventory_service.api.shapes import Stock
from inventory_service.messages import Sku
from inventory_service.store import catalogue

router = Router(tags=["inventory"])


@router.get("/inventory", dependencies=[Staff])
async def list_stock(
    page: Annotated[PageQuery, Query()], pages: PagesOf, database: DatabaseOf
) -> Page[Stock]:
    """List all stock."""
    (after,) = pages.begin("inventory", page) or [""]
    async with database.transaction() as tx:
        shelves = await catalogue.list_shelves(tx, after=after, limit=page.limit + 1)
    shown, cursor = pages.cut("inventory", page, shelves, lambda shelf: [shelf.sku])
    return Page(data=[Stock.of(shelf) for shelf in shown], next_cursor=cursor)


@router.get("/inventory/{sku}", dependencies=[Staff])
async def get_stock(sku: Sku, database: DatabaseOf) -> Stock:
    """Show one product's stock."""
    async with database.transaction() as tx:
        return Stock.of(await handlers.get_product(tx, sku))
