"""The catalogue, from order-service's own copy: what can be ordered, and for how much."""

from typing import Annotated

from common.http import Router
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Path, Query
from pydantic import Field

from order_service.api.bodies import SKU, Text
from order_service.api.parts import PartsOf
from order_service.api.shapes import Product
from order_service.store import reads

router = Router(tags=["products"])


class ProductQuery(PageQuery):
    """Which products to list."""

    q: Annotated[
        Text | None,
        Field(description="in SKU or name; one or two letters: at the beginning of a word"),
    ] = None


@router.get("/products")
async def list_products(
    query: Annotated[ProductQuery, Query()], pages: PagesOf, parts: PartsOf
) -> Page[Product]:
    """List products by SKU; anyone may look."""
    last = pages.begin("products", query)
    async with parts.database.transaction() as tx:
        rows = await reads.list_products(
            tx, query.q, after=last[0] if last else None, limit=query.limit + 1
        )
    shown, cursor = pages.cut("products", query, rows, lambda row: [row["sku"]])
    return Page(data=[Product.of(row) for row in shown], next_cursor=cursor)


@router.get("/products/{sku}")
async def get_product(sku: Annotated[str, Path(pattern=SKU)], parts: PartsOf) -> Product:
    """Show a product."""
    async with parts.database.transaction() as tx:
        row = await reads.find_product(tx, sku)
    if row is None:
        raise not_found()
    return Product.of(row)
