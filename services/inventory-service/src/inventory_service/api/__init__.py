"""HTTP in and out: one module a topic."""

from common.database import Database
from fastapi import FastAPI

from inventory_service.api import (
    availability,
    categories,
    inventory,
    ledger,
    products,
    reconciliation,
    reservations,
    stats,
)

ROUTERS = (
    products.router,
    categories.router,
    availability.router,
    ledger.router,
    reservations.router,
    stats.router,
    inventory.router,
)
"""`/inventory/{sku}` comes last: it would take the other paths for skus."""


def attach(app: FastAPI, database: Database) -> None:
    """Give the routes their database, and publish operations outside the API prefix."""
    app.state.database = database
    app.include_router(reconciliation.router)
