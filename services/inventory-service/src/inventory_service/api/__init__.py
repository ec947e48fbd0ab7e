"""HTTP in and out: one module a topic."""

from inventory_service.api import categories, inventory, ledger, products, reservations

ROUTERS = (
    products.router,
    categories.router,
    ledger.router,
    reservations.router,
    inventory.router,
)
"""`/inventory/{sku}` comes last: it would take the other paths for skus."""
