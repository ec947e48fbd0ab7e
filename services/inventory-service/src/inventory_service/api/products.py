"""The catalogue over HTTP: anyone reads it, admins write it."""

from __future__ import annotations

from typing import Annotated

from common.auth import Admin
from common.http import Router, Wire
from common.openapi import refuses
from common.paging import Page, PagesOf
from fastapi import Query, Request, Response

from inventory_service import handlers
from inventory_service.api.bodies import NewProduct, NewProducts, ProductChange
from inventory_service.api.filters import ProductQuery
from inventory_service.api.parts import DatabaseOf
from inventory_service.api.shapes import Product
from inventory_service.domain.products import ChangeProduct
from inventory_service.messages import Sku
from inventory_service.store import catalogue

router = Router(tags=["products"])

PROBLEMS = {
    "sku_taken": "A product with this sku exists. Change it instead.",
    "unknown_product": "No product has this sku. Add it first.",
    "unknown_category": "There is no such category. Add it first.",
    "category_taken": "A category with this id exists. Rename it instead.",
    "category_in_use": "Products are in this category. Move them to another first.",
    "reference_used": "This reference moved the product by another quantity. Use a new one.",
    "invalid_state": "The stock as it is does not allow this; the detail says why.",
}
"""This service's own problem codes."""


class AddedProducts(Wire):
    """The products that were added, in the order in which they came."""

    data: list[Product]


@router.post("/products", status_code=201, responses=refuses(sku_taken=409, unknown_category=422))
async def add_product(
    body: NewProduct, request: Request, response: Response, admin: Admin, database: DatabaseOf
) -> Product:
    """Add a product; it is announced in the same transaction."""
    async with database.transaction() as tx:
        (shelf,) = await handlers.add_products(tx, [body.command()], made_by=admin.id)
    response.headers["Location"] = f"{request.url.path}/{shelf.sku}"
    return Product.of(shelf)


@router.post(
    "/products/bulk", status_code=201, responses=refuses(sku_taken=409, unknown_category=422)
)
async def add_products(body: NewProducts, admin: Admin, database: DatabaseOf) -> AddedProducts:
    """Add up to 1,000 products in one transaction: all of them, or none if one sku is taken."""
    commands = [product.command() for product in body.products]
    async with database.transaction() as tx:
        shelves = await handlers.add_products(tx, commands, made_by=admin.id)
    return AddedProducts(data=[Product.of(shelf) for shelf in shelves])


@router.get("/products")
async def list_products(
    page: Annotated[ProductQuery, Query()], pages: PagesOf, database: DatabaseOf
) -> Page[Product]:
    """List the catalogue, in the order of the skus; anyone may look."""
    (after,) = pages.begin("products", page) or [""]
    async with database.transaction() as tx:
        shelves = await catalogue.list_shelves(tx, page.wanted(), after=after, limit=page.limit + 1)
    shown, cursor = pages.cut("products", page, shelves, lambda shelf: [shelf.sku])
    return Page(data=[Product.of(shelf) for shelf in shown], next_cursor=cursor)


@router.get("/products/{sku}")
async def get_product(sku: Sku, database: DatabaseOf) -> Product:
    """Show one product."""
    async with database.transaction() as tx:
        return Product.of(await handlers.get_product(tx, sku))


@router.patch("/products/{sku}", responses=refuses(unknown_category=422))
async def change_product(
    sku: Sku, body: ProductChange, _admin: Admin, database: DatabaseOf
) -> Product:
    """Change what is given; the same change again changes nothing."""
    async with database.transaction() as tx:
        return Product.of(await handlers.change_product(tx, body.command(sku)))


@router.delete("/products/{sku}", status_code=204)
async def remove_product(sku: Sku, _admin: Admin, database: DatabaseOf) -> None:
    """Take a product out of the catalogue; what orders hold of it is still theirs.

    Its sku may be added anew.
    """
    async with database.transaction() as tx:
        await handlers.remove_product(tx, sku)


@router.patch("/products/{sku}/activate")
async def activate_product(sku: Sku, _admin: Admin, database: DatabaseOf) -> Product:
    """Put a product up for sale."""
    async with database.transaction() as tx:
        return Product.of(await handlers.change_product(tx, ChangeProduct(sku, active=True)))


@router.patch("/products/{sku}/deactivate")
async def deactivate_product(sku: Sku, _admin: Admin, database: DatabaseOf) -> Product:
    """Stop selling a product; what orders hold of it is still theirs."""
    async with database.transaction() as tx:
        return Product.of(await handlers.change_product(tx, ChangeProduct(sku, active=False)))
