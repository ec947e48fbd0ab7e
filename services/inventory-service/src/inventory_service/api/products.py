"""The catalogue over HTTP: anyone reads it, admins write it."""

from __future__ import annotations

from typing import Annotated

from common.http import Router, Wire
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query, Request, Response

from inventory_service import handlers
from inventory_service.api.bodies import NewProduct, NewProducts, ProductChange
from inventory_service.api.parts import Admin, DatabaseOf
from inventory_service.api.shapes import Product
from inventory_service.messages import Sku
from inventory_service.store import catalogue

router = Router(tags=["products"])

PROBLEMS = {
    "sku_taken": "A product with this sku exists. Change it instead.",
    "unknown_product": "No product has this sku. Add it first.",
    "invalid_state": "The stock as it is does not allow this; the detail says why.",
}
"""This service's own problem codes."""


class AddedProducts(Wire):
    """The products that were added, in the order in which they came."""

    data: list[Product]


@router.post("/products", status_code=201, dependencies=[Admin])
async def add_product(
    body: NewProduct, request: Request, response: Response, database: DatabaseOf
) -> Product:
    """Add a product; it is announced in the same transaction."""
    async with database.transaction() as tx:
        (shelf,) = await handlers.add_products(tx, [body.command()])
    response.headers["Location"] = f"{request.url.path}/{shelf.sku}"
    return Product.of(shelf)


@router.post("/products/bulk", status_code=201, dependencies=[Admin])
async def add_products(body: NewProducts, database: DatabaseOf) -> AddedProducts:
    """Add up to 1,000 products in one transaction: all of them, or none if one sku is taken."""
    commands = [product.command() for product in body.products]
    async with database.transaction() as tx:
        shelves = await handlers.add_products(tx, commands)
    return AddedProducts(data=[Product.of(shelf) for shelf in shelves])


@router.patch("/products/{sku}", dependencies=[Admin])
async def change_product(sku: Sku, body: ProductChange, database: DatabaseOf) -> Product:
    """Change name, price, low-stock line, or whether it is for sale."""
    async with database.transaction() as tx:
        shelf = await handlers.change_product(tx, body.command(sku))
    return Product.of(shelf)


@router.get("/products")
async def list_products(
    page: Annotated[PageQuery, Query()], pages: PagesOf, database: DatabaseOf
) -> Page[Product]:
    """List the catalogue."""
    (after,) = pages.begin("products", page) or [""]
    async with database.transaction() as tx:
        shelves = await catalogue.list_shelves(tx, after=after, limit=page.limit + 1)
    shown, cursor = pages.cut("products", page, shelves, lambda shelf: [shelf.sku])
    return Page(data=[Product.of(shelf) for shelf in shown], next_cursor=cursor)


@router.get("/products/{sku}")
async def get_product(sku: Sku, database: DatabaseOf) -> Product:
    """Show one product."""
    async with database.transaction() as tx:
        return Product.of(await handlers.get_product(tx, sku))
