"""The ledger over HTTP: admins correct a count, staff see everything that moved one."""

from __future__ import annotations

from typing import Annotated

from common.http import Router
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query

from inventory_service import handlers
from inventory_service.api.bodies import Adjustment
from inventory_service.api.parts import Admin, DatabaseOf, Staff
from inventory_service.api.shapes import Movement, Stock
from inventory_service.domain.products import AdjustStock
from inventory_service.messages import Sku
from inventory_service.store import catalogue

router = Router(tags=["inventory"])

_NEWEST = 2**63 - 1
"""The largest id there can be: a list of movements begins below it."""


class MovementFilter(PageQuery):
    """Whose ledger is asked for."""

    sku: Sku


@router.post("/inventory/adjustments", status_code=201, dependencies=[Admin])
async def adjust_stock(body: Adjustment, database: DatabaseOf) -> Stock:
    """Correct a count; the reason stays in the ledger."""
    async with database.transaction() as tx:
        command = AdjustStock(body.sku, body.quantity, body.reason)
        return Stock.of(await handlers.adjust_stock(tx, command))


@router.get("/inventory/movements", dependencies=[Staff])
async def list_movements(
    page: Annotated[MovementFilter, Query()], pages: PagesOf, database: DatabaseOf
) -> Page[Movement]:
    """List what moved a product's stock, newest first."""
    listing = f"movements {page.sku}"
    (before,) = pages.begin(listing, page) or [str(_NEWEST)]
    async with database.transaction() as tx:
        rows = await catalogue.list_movements(
            tx, page.sku, before=int(before), limit=page.limit + 1
        )
    shown, cursor = pages.cut(listing, page, rows, lambda row: [str(row["id"])])
    return Page(data=[Movement.of(row) for row in shown], next_cursor=cursor)
