"""Reservations over HTTP, for staff: what each order holds, or held."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from common.auth import Staff
from common.http import Router
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query

from inventory_service.api.parts import DatabaseOf
from inventory_service.api.shapes import Reservation
from inventory_service.domain.stockroom import ReservationState
from inventory_service.store import batches, ledger

router = Router(prefix="/inventory", tags=["inventory"])


class ReservationQuery(PageQuery):
    """Which reservations to list; all that is given must be so."""

    order_id: UUID | None = None
    state: ReservationState | None = None


@router.get("/reservations")
async def list_reservations(
    page: Annotated[ReservationQuery, Query()], pages: PagesOf, _staff: Staff, database: DatabaseOf
) -> Page[Reservation]:
    """List what orders hold, or held, the newest order first."""
    last = pages.begin("reservations", page)
    before = UUID(last[0]) if last else None
    async with database.transaction() as tx:
        rows = await ledger.list_reservations(
            tx, page.order_id, page.state, before=before, limit=page.limit + 1
        )
        lines = await batches.lines_of(tx, [row["order_id"] for row in rows])
    shown, cursor = pages.cut("reservations", page, rows, lambda row: [str(row["order_id"])])
    return Page(
        data=[Reservation.of(row, lines[row["order_id"]]) for row in shown], next_cursor=cursor
    )
