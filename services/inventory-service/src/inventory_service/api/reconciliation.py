"""Stock reconciliation for operators: counts against movements and reservations."""

from __future__ import annotations

from typing import Annotated, Self

from common.http import Router, Wire
from common.ops_parts import Operator
from common.paging import PageQuery, PagesOf
from fastapi import Query
from pydantic import Field

from inventory_service.api.parts import DatabaseOf
from inventory_service.domain import reconciliation
from inventory_service.domain.reconciliation import Column, Reason
from inventory_service.store import reconciliation as store

router = Router(prefix="/ops/v1/stock-differences", tags=["operations"])


class Stretch(PageQuery):
    """How many products to check at once, and after which."""

    limit: Annotated[int, Field(ge=1, le=1000, description="products checked")] = 500


class Difference(Wire):
    """A count that is not what it should be; `reason` says against what."""

    sku: str
    column: Column
    expected: int
    found: int
    reason: Reason

    @classmethod
    def of(cls, difference: reconciliation.Difference) -> Self:
        return cls(
            sku=difference.sku,
            column=difference.column,
            expected=difference.expected,
            found=difference.found,
            reason=difference.reason,
        )


class Differences(Wire):
    """The differences in one stretch of the catalogue, and how far that went."""

    data: list[Difference]
    checked: int
    """Products in this stretch."""
    products: int
    """Products in all."""
    next_cursor: str | None


@router.get("")
async def list_differences(
    page: Annotated[Stretch, Query()], pages: PagesOf, _operator: Operator, database: DatabaseOf
) -> Differences:
    """Check the next products: each count that its movements or reservations do not explain."""
    (after,) = pages.begin("stock-differences", page) or [""]
    async with database.transaction() as tx:
        products = await store.count_products(tx)
        skus = await store.list_skus(tx, after=after, limit=page.limit + 1)
        shown, cursor = pages.cut("stock-differences", page, skus, lambda sku: [sku])
        books = await store.read_books(tx, after=after, until=shown[-1] if cursor else None)
    return Differences(
        data=[Difference.of(each) for book in books for each in reconciliation.reconcile(book)],
        checked=len(shown),
        products=products,
        next_cursor=cursor,
    )
