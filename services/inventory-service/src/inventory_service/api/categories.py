"""Categories over HTTP: anyone reads them, admins write them."""

from __future__ import annotations

from typing import Annotated

from common.auth import Admin
from common.http import Router
from common.openapi import refuses
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query, Request, Response

from inventory_service import handlers
from inventory_service.api.bodies import CategoryChange, CategoryId, NewCategory
from inventory_service.api.parts import DatabaseOf
from inventory_service.api.shapes import Category
from inventory_service.store import categories

router = Router(prefix="/categories", tags=["categories"])


@router.post("", status_code=201, responses=refuses(category_taken=409))
async def add_category(
    body: NewCategory, request: Request, response: Response, _admin: Admin, database: DatabaseOf
) -> Category:
    """Add a category."""
    async with database.transaction() as tx:
        added = Category.of(await handlers.add_category(tx, body.id, body.name))
    response.headers["Location"] = f"{request.url.path}/{added.id}"
    return added


@router.get("")
async def list_categories(
    page: Annotated[PageQuery, Query()], pages: PagesOf, database: DatabaseOf
) -> Page[Category]:
    """List the categories, in the order of their ids."""
    (after,) = pages.begin("categories", page) or [""]
    async with database.transaction() as tx:
        rows = await categories.list_categories(tx, after=after, limit=page.limit + 1)
    shown, cursor = pages.cut("categories", page, rows, lambda row: [row["category"]])
    return Page(data=[Category.of(row) for row in shown], next_cursor=cursor)


@router.get("/{category}")
async def get_category(category: CategoryId, database: DatabaseOf) -> Category:
    """Show one category."""
    async with database.transaction() as tx:
        return Category.of(await handlers.get_category(tx, category))


@router.patch("/{category}")
async def rename_category(
    category: CategoryId, body: CategoryChange, _admin: Admin, database: DatabaseOf
) -> Category:
    """Give a category another name."""
    async with database.transaction() as tx:
        return Category.of(await handlers.rename_category(tx, category, body.name))


@router.delete("/{category}", status_code=204, responses=refuses(category_in_use=409))
async def remove_category(category: CategoryId, _admin: Admin, database: DatabaseOf) -> None:
    """Remove a category that no product is in."""
    async with database.transaction() as tx:
        await handlers.remove_category(tx, category)
