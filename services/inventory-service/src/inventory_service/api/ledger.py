"""The ledger over HTTP: admins correct a count, staff see everything that moved one."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from common.auth import Admin, Staff
from common.http import Moment, Router
from common.openapi import refuses
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query, Request, Response
from pydantic import Field

from inventory_service import handlers
from inventory_service.api.bodies import Adjustment
from inventory_service.api.parts import DatabaseOf
from inventory_service.api.shapes import Movement, Stock
from inventory_service.domain.products import AdjustStock
from inventory_service.domain.stockroom import MovementKind
from inventory_service.messages import Sku
from inventory_service.store import ledger

router = Router(prefix="/inventory", tags=["inventory"])

_NEWEST = 2**63 - 1
"""The largest id there can be: a list of movements begins below it."""


class MovementQuery(PageQuery):
    """Which movements to list; all that is given must be so."""

    sku: Sku | None = None
    order_id: UUID | None = None
    kind: MovementKind | None = None
    since: Annotated[Moment | None, Field(description="at this time or later")] = None
    until: Annotated[Moment | None, Field(description="before this time")] = None

    def wanted(self) -> ledger.MovementFilter:
        return ledger.MovementFilter(self.sku, self.order_id, self.kind, self.since, self.until)


@router.post(
    "/adjustments",
    status_code=201,
    responses=refuses(unknown_product=422, invalid_state=409, reference_used=409),
)
async def adjust_stock(
    body: Adjustment, request: Request, response: Response, admin: Admin, database: DatabaseOf
) -> Stock:
    """Correct a count; reason and author stay in the ledger."""
    command = AdjustStock(
        body.sku, body.quantity, body.reason, made_by=admin.id, reference=body.reference
    )
    async with database.transaction() as tx:
        adjusted = Stock.of(await handlers.adjust_stock(tx, command))
    response.headers["Location"] = request.url.path.replace("adjustments", adjusted.sku)
    return adjusted


@router.get("/movements")
async def list_movements(
    page: Annotated[MovementQuery, Query()], pages: PagesOf, _staff: Staff, database: DatabaseOf
) -> Page[Movement]:
    """List what moved stock, newest first."""
    (before,) = pages.begin("movements", page) or [str(_NEWEST)]
    async with database.transaction() as tx:
        rows = await ledger.list_movements(
            tx, page.wanted(), before=int(before), limit=page.limit + 1
        )
    shown, cursor = pages.cut("movements", page, rows, lambda row: [str(row["id"])])
    return Page(data=[Movement.of(row) for row in shown], next_cursor=cursor)
