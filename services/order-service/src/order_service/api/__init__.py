"""HTTP in and out: routes translate, and never decide."""

from collections.abc import Mapping

from fastapi import FastAPI
from starlette.middleware import Middleware

from order_service.api import (
    accounts,
    decision,
    fulfilment,
    live,
    orders,
    placing,
    products,
    refunds,
    sagas,
    users,
    well_known,
)
from order_service.api.parts import Parts as Parts

ROUTERS = (
    placing.router,
    orders.router,
    decision.router,
    live.router,
    fulfilment.router,
    refunds.router,
    products.router,
    accounts.router,
    users.router,
)
"""Go under the API prefix."""

PROBLEMS: Mapping[str, str] = {
    "email_taken": "The e-mail address has an account. Log in, or use another address.",
    "too_many_open_orders": "Too many of the caller's orders are not confirmed yet. Order later.",
    "too_much_held": "The caller's open orders hold too much of a product. Order it later.",
    "unknown_product": "A product is not in the catalogue, or not for sale.",
    "over_refund": "More than is left of what was paid, or bought. Ask for less.",
    "currency_mismatch": "The currencies differ. Order them apart; refund in the order's own.",
    "decision_expired": "The time for the decision is over, and the order with it. Order anew.",
}
"""What the codes of this service mean to its callers."""


def attach(app: FastAPI, parts: Parts) -> None:
    """Give the routes their parts, and publish keys and operations outside the API prefix."""
    app.state.parts = parts
    # Last, so that what the edge does to every request is done to this one, too.
    app.user_middleware.append(
        Middleware(
            placing.Shortcut,
            path=f"{parts.prefix}{placing.PATH}",
            handlers=app.exception_handlers,
        )
    )
    app.include_router(well_known.router)
    app.include_router(sagas.router)
