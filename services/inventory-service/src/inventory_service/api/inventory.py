"""Stock over HTTP, for staff: how many pieces of each product there are."""

from __future__ import annotations

from typing import Annotated

from common.auth import Staff
from common.http import Router
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query

from inventory_service import handlers
from inventory_service.api.filters import ProductQuery
from inventory_service.api.parts import DatabaseOf
from inventory_service.api.shapes import Stock
from inventory_service.messages import Sku
from inventory_service.store import catalogue
from inventory_service.store.catalogue import ProductFilter

router = Router(prefix="/inventory", tags=["inventory"])

PageOf = Annotated[PageQuery, Query()]

_LOW = ProductFilter(availability="LOW")
_OUT = ProductFilter(availability="NONE")


@router.get("")
async def list_stock(
    page: Annotated[ProductQuery, Query()], pages: PagesOf, _staff: Staff, database: DatabaseOf
) -> Page[Stock]:
    """List the stock, in the order of the skus."""
    return await _page("inventory", page.wanted(), page, pages, database)


@router.get("/low-stock")
async def list_low_stock(
    page: PageOf, pages: PagesOf, _staff: Staff, database: DatabaseOf
) -> Page[Stock]:
    """List the products of which some are left, no more than their low-stock line."""
    return await _page("low-stock", _LOW, page, pages, database)


@router.get("/out-of-stock")
async def list_out_of_stock(
    page: PageOf, pages: PagesOf, _staff: Staff, database: DatabaseOf
) -> Page[Stock]:
    """List the products of which none is free."""
    return await _page("out-of-stock", _OUT, page, pages, database)


@router.get("/{sku}")
async def get_stock(sku: Sku, _staff: Staff, database: DatabaseOf) -> Stock:
    """Show one product's stock."""
    async with database.transaction() as tx:
        return Stock.of(await handlers.get_product(tx, sku))


async def _page(
    listing: str, wanted: ProductFilter, page: PageQuery, pages: PagesOf, database: DatabaseOf
) -> Page[Stock]:
    (after,) = pages.begin(listing, page) or [""]
    async with database.transaction() as tx:
        shelves = await catalogue.list_shelves(tx, wanted, after=after, limit=page.limit + 1)
    shown, cursor = pages.cut(listing, page, shelves, lambda shelf: [shelf.sku])
    return Page(data=[Stock.of(shelf) for shelf in shown], next_cursor=cursor)
