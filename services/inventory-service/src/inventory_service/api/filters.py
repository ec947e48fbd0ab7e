"""What lists of products are filtered by, for customers and for staff."""

from __future__ import annotations

from typing import Annotated

from common.paging import PageQuery
from pydantic import Field

from inventory_service.api.bodies import CategoryId, Text
from inventory_service.messages import Availability
from inventory_service.store.catalogue import ProductFilter


class ProductQuery(PageQuery):
    """Which products to list; all that is given must be so."""

    q: Annotated[
        Text | None,
        Field(description="in sku or name; one or two letters: at the beginning of a word"),
    ] = None
    category: CategoryId | None = None
    active: Annotated[bool | None, Field(description="for sale, or not")] = None
    availability: Availability | None = None

    def wanted(self) -> ProductFilter:
        return ProductFilter(self.q, self.category, self.active, self.availability)
