"""Reservations over HTTP, for staff: what each order holds, or held."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from common.http import Params, Router
from common.paging import Page
from fastapi import Query

from inventory_service.api.parts import DatabaseOf, Staff
from inventory_service.api.shapes import Reservation
from inventory_service.store import batches

router = Router(tags=["inventory"])


class ReservationFilter(Params):
    """Whose reservation is asked for."""

    order_id: UUID


@router.get("/inventory/reservations", dependencies=[Staff])
async def list_reservations(
    wanted: Annotated[ReservationFilter, Query()], database: DatabaseOf
) -> Page[Reservation]:
    """Show what an order holds, or held."""
    async with database.transaction() as tx:
        found = await batches.find_reservation(tx, wanted.order_id)
    return Page(data=[Reservation.of(found)] if found else [], next_cursor=None)
