"""Stock over HTTP, for staff: counts, ledger, reservations; admins adjust."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from common.auth import caller
from common.http import Body, Params, Router, Wire
from common.paging import PageQuery, PagesOf
from fastapi import Depends, Query
from pydantic import AfterValidator, Field

from inventory_service import handlers
from inventory_service.api.parts import DatabaseOf
from inventory_service.api.products import MAX_PIECES, Text
from inventory_service.domain import stockroom
from inventory_service.domain.products import AdjustStock
from inventory_service.messages import Availability, Sku
from inventory_service.store import batches, catalogue

router = Router(tags=["inventory"])

Staff = Depends(caller("staff", "admin"))
Admin = Depends(caller("admin"))

_NEWEST = 2**63 - 1
"""The largest id there can be: a list of movements begins below it."""


def _something(quantity: int) -> int:
    if quantity == 0:
        message = "nothing to adjust"
        raise ValueError(message)
    return quantity


class Adjustment(Body):
    """A correction of the count: what came (positive) or is gone (negative), and why."""

    sku: Sku
    quantity: Annotated[int, Field(ge=-MAX_PIECES, le=MAX_PIECES), AfterValidator(_something)]
    reason: Text


class Stock(Wire):
    """How many pieces of a product are free, held for orders, and ever sold."""

    sku: str
    name: str
    active: bool
    available: int
    reserved: int
    sold: int
    low_stock: int
    availability: Availability

    @classmethod
    def of(cls, shelf: stockroom.Shelf) -> Self:
        return cls(
            sku=shelf.sku,
            name=shelf.name,
            active=shelf.active,
            available=shelf.counts.available,
            reserved=shelf.counts.reserved,
            sold=shelf.counts.sold,
            low_stock=shelf.low_stock,
            availability=shelf.availability,
        )


class StockList(Wire):
    """A page of all stock, in the order of the skus."""

    data: list[Stock]
    next_cursor: str | None = None


class MovementFilter(PageQuery):
    """Whose ledger is asked for."""

    sku: Sku


class Movement(Wire):
    """One row of a product's ledger; the quantity is signed for adjustments only."""

    id: int
    sku: str
    kind: stockroom.MovementKind
    quantity: int
    order_id: UUID | None
    reason: str | None
    at: datetime

    @classmethod
    def of(cls, row: catalogue.Row) -> Self:
        return cls.model_validate(dict(row), strict=False)


class MovementList(Wire):
    """A page of a product's ledger, newest first."""

    data: list[Movement]
    next_cursor: str | None = None


class ReservationFilter(Params):
    """Whose reservation is asked for."""

    order_id: UUID


class ReservationLine(Wire):
    """What one line took from its shelf, and how much of it came back."""

    line_no: int
    sku: str
    quantity: int
    restocked: int


class Reservation(Wire):
    """One order's claim on stock."""

    order_id: UUID
    state: stockroom.ReservationState
    deadline_at: datetime | None
    lines: list[ReservationLine]

    @classmethod
    def of(cls, reservation: stockroom.Reservation) -> Self:
        return cls(
            order_id=reservation.order_id,
            state=reservation.state,
            deadline_at=reservation.deadline_at,
            lines=[ReservationLine(**asdict(line)) for line in reservation.lines],
        )


class ReservationList(Wire):
    """The reservation of one order, if there is one."""

    data: list[Reservation]
    next_cursor: None = None


@router.post("/inventory/adjustments", status_code=201, dependencies=[Admin])
async def adjust_stock(body: Adjustment, database: DatabaseOf) -> Stock:
    """Correct a count; the reason stays in the ledger."""
    async with database.transaction() as tx:
        command = AdjustStock(body.sku, body.quantity, body.reason)
        return Stock.of(await handlers.adjust_stock(tx, command))


@router.get("/inventory", dependencies=[Staff])
async def list_stock(
    page: Annotated[PageQuery, Query()], pages: PagesOf, database: DatabaseOf
) -> StockList:
    """List all stock."""
    (after,) = pages.begin("inventory", page) or [""]
    async with database.transaction() as tx:
        shelves = await catalogue.list_shelves(tx, after=after, limit=page.limit + 1)
    shown, cursor = pages.cut("inventory", page, shelves, lambda shelf: [shelf.sku])
    return StockList(data=[Stock.of(shelf) for shelf in shown], next_cursor=cursor)


@router.get("/inventory/movements", dependencies=[Staff])
async def list_movements(
    page: Annotated[MovementFilter, Query()], pages: PagesOf, database: DatabaseOf
) -> MovementList:
    """List what moved a product's stock, newest first."""
    listing = f"movements {page.sku}"
    (before,) = pages.begin(listing, page) or [str(_NEWEST)]
    async with database.transaction() as tx:
        rows = await catalogue.list_movements(
            tx, page.sku, before=int(before), limit=page.limit + 1
        )
    shown, cursor = pages.cut(listing, page, rows, lambda row: [str(row["id"])])
    return MovementList(data=[Movement.of(row) for row in shown], next_cursor=cursor)


@router.get("/inventory/reservations", dependencies=[Staff])
async def list_reservations(
    wanted: Annotated[ReservationFilter, Query()], database: DatabaseOf
) -> ReservationList:
    """Show what an order holds, or held."""
    async with database.transaction() as tx:
        found = await batches.find_reservation(tx, wanted.order_id)
    return ReservationList(data=[Reservation.of(found)] if found else [])


@router.get("/inventory/{sku}", dependencies=[Staff])
async def get_stock(sku: Sku, database: DatabaseOf) -> Stock:
    """Show one product's stock."""
    async with database.transaction() as tx:
        return Stock.of(await handlers.get_product(tx, sku))
