"""The stock in numbers, for staff."""

from __future__ import annotations

from datetime import datetime

from common.auth import Staff
from common.http import Router, Wire

from inventory_service.api.parts import DatabaseOf
from inventory_service.domain.stockroom import ReservationState
from inventory_service.store import stock

router = Router(prefix="/inventory", tags=["inventory"])


class Products(Wire):
    """How many products there are: for sale, low, out."""

    total: int
    active: int
    low: int
    out: int


class Pieces(Wire):
    """How many pieces of all products are free, held for orders, and ever sold."""

    available: int
    reserved: int
    sold: int


class Value(Wire):
    """What the pieces in the house, free or held, would cost, in minor units."""

    amount: int
    currency: str


class Stats(Wire):
    """The stock in numbers, at one moment."""

    at: datetime
    products: Products
    pieces: Pieces
    value: list[Value]
    reservations: dict[ReservationState, int]


@router.get("/stats")
async def show_stats(_staff: Staff, database: DatabaseOf) -> Stats:
    """Show the stock in numbers."""
    async with database.transaction() as tx:
        counted = await stock.count_stock(tx)
        values = await stock.list_values(tx)
        reservations = await stock.count_reservations(tx)
    return Stats(
        at=tx.now,
        products=Products(**{name: counted[name] for name in Products.model_fields}),
        pieces=Pieces(**{name: counted[name] for name in Pieces.model_fields}),
        value=[Value(amount=int(row["amount"]), currency=row["currency"]) for row in values],
        reservations={state: reservations.get(state, 0) for state in ReservationState},
    )
