"""The catalogue over HTTP: anyone reads it, admins write it."""

from __future__ import annotations

from typing import Annotated, Self

from common.auth import caller
from common.http import Body, Router, Wire
from common.paging import PageQuery, PagesOf
from fastapi import Depends, Query, Request, Response
from pydantic import AfterValidator, Field, model_validator

from inventory_service import handlers
from inventory_service.api.parts import DatabaseOf
from inventory_service.domain.currencies import CURRENCIES
from inventory_service.domain.products import AddProduct, ChangeProduct
from inventory_service.domain.stockroom import Shelf
from inventory_service.messages import Availability, Money, Sku
from inventory_service.store import catalogue

router = Router(tags=["products"])

PROBLEMS = {
    "sku_taken": "A product with this sku exists. Change it instead.",
    "unknown_product": "No product has this sku. Add it first.",
    "invalid_state": "The stock as it is does not allow this; the detail says why.",
}
"""This service's own problem codes."""

MAX_PIECES = 10**12
"""A thousand times any warehouse, and far from where a bigint ends."""

MAX_PRICE = 10**12
"""A thousand lines of the largest quantity at this price still fit a numeric total check."""


def _known(currency: str) -> str:
    if currency not in CURRENCIES:
        message = "no currency of ISO 4217"
        raise ValueError(message)
    return currency


Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Pieces = Annotated[int, Field(ge=0, le=MAX_PIECES)]
Admin = Depends(caller("admin"))


class Price(Wire):
    """An amount in the currency's minor units: pence, yen, thousandths of a dinar."""

    amount: Annotated[int, Field(ge=1, le=MAX_PRICE)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$"), AfterValidator(_known)]

    def money(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)


class NewProduct(Body):
    """A product, with the stock that it begins with."""

    sku: Sku
    name: Text
    price: Price
    stock: Pieces
    low_stock: Pieces = 0

    def command(self) -> AddProduct:
        return AddProduct(self.sku, self.name, self.price.money(), self.stock, self.low_stock)


class NewProducts(Body):
    """Up to 1,000 products, added together or not at all."""

    products: Annotated[list[NewProduct], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _name_each_sku_once(self) -> Self:
        if len({product.sku for product in self.products}) < len(self.products):
            message = "a sku is used twice"
            raise ValueError(message)
        return self


class ProductChange(Body):
    """What to change; whatever is left out stays as it is."""

    name: Text | None = None
    price: Price | None = None
    active: bool | None = None
    low_stock: Pieces | None = None

    @model_validator(mode="after")
    def _change_something(self) -> Self:
        given = [getattr(self, name) for name in self.model_fields_set]
        if not given or None in given:
            message = "nothing to change"
            raise ValueError(message)
        return self

    def command(self, sku: str) -> ChangeProduct:
        price = self.price.money() if self.price else None
        return ChangeProduct(sku, self.name, price, self.active, self.low_stock)


class Product(Wire):
    """A product as the shop shows it."""

    sku: str
    name: str
    price: Price
    active: bool
    available: Availability

    @classmethod
    def of(cls, shelf: Shelf) -> Self:
        return cls(
            sku=shelf.sku,
            name=shelf.name,
            price=Price(amount=shelf.price.amount, currency=shelf.price.currency),
            active=shelf.active,
            available=shelf.availability,
        )


class ProductList(Wire):
    """A page of the catalogue, in the order of the skus."""

    data: list[Product]
    next_cursor: str | None = None


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
async def add_products(body: NewProducts, database: DatabaseOf) -> ProductList:
    """Add up to 1,000 products in one transaction: all of them, or none if one sku is taken."""
    commands = [product.command() for product in body.products]
    async with database.transaction() as tx:
        shelves = await handlers.add_products(tx, commands)
    return ProductList(data=[Product.of(shelf) for shelf in shelves])


@router.patch("/products/{sku}", dependencies=[Admin])
async def change_product(sku: Sku, body: ProductChange, database: DatabaseOf) -> Product:
    """Change name, price, low-stock line, or whether it is for sale."""
    async with database.transaction() as tx:
        shelf = await handlers.change_product(tx, body.command(sku))
    return Product.of(shelf)


@router.get("/products")
async def list_products(
    page: Annotated[PageQuery, Query()], pages: PagesOf, database: DatabaseOf
) -> ProductList:
    """List the catalogue."""
    (after,) = pages.begin("products", page) or [""]
    async with database.transaction() as tx:
        shelves = await catalogue.list_shelves(tx, after=after, limit=page.limit + 1)
    shown, cursor = pages.cut("products", page, shelves, lambda shelf: [shelf.sku])
    return ProductList(data=[Product.of(shelf) for shelf in shown], next_cursor=cursor)


@router.get("/products/{sku}")
async def get_product(sku: Sku, database: DatabaseOf) -> Product:
    """Show one product."""
    async with database.transaction() as tx:
        return Product.of(await handlers.get_product(tx, sku))
