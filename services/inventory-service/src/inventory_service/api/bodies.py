"""Request bodies: strict by type, with no member that is not listed here."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from common.http import Body, Changes, Wire
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from inventory_service.domain.currencies import CURRENCIES
from inventory_service.domain.products import AddProduct, ChangeProduct
from inventory_service.messages import Money, Sku

MAX_PIECES = 10**12
"""A thousand times any warehouse, and far from where a bigint ends."""

MAX_PRICE = 10**12
"""A thousand lines of the largest quantity at this price still fit a numeric total check."""


def _known(currency: str) -> str:
    if currency not in CURRENCIES:
        message = "no currency of ISO 4217"
        raise ValueError(message)
    return currency


def _something(quantity: int) -> int:
    if quantity == 0:
        message = "nothing to adjust"
        raise ValueError(message)
    return quantity


Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Pieces = Annotated[int, Field(ge=0, le=MAX_PIECES)]
Reference = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$", examples=["DN-2026-4711"])
]
CategoryId = Annotated[
    str, Field(max_length=64, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", examples=["home-decor"])
]


class Price(Wire):
    """An amount in the currency's minor units: pence, yen, thousandths of a dinar."""

    amount: Annotated[int, Field(ge=1, le=MAX_PRICE)]
    currency: Annotated[
        str,
        Field(examples=["EUR"], json_schema_extra={"enum": sorted(CURRENCIES)}),
        AfterValidator(_known),
    ]

    def money(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)


class NewProduct(Body):
    """A product, with the stock that it begins with."""

    sku: Annotated[Sku, Field(examples=["85123A"])]
    name: Annotated[Text, Field(examples=["White hanging heart"])]
    price: Price
    stock: Pieces
    low_stock: Pieces = 0
    allow_partial: Annotated[
        bool, Field(description="whether an order may get less of it, if its customer agrees")
    ] = False
    category: CategoryId | None = None

    def command(self) -> AddProduct:
        return AddProduct(
            sku=self.sku,
            name=self.name,
            price=self.price.money(),
            stock=self.stock,
            low_stock=self.low_stock,
            allow_partial=self.allow_partial,
            category=self.category,
        )


def _each_sku_once(products: list[NewProduct]) -> list[NewProduct]:
    if len({product.sku for product in products}) < len(products):
        raise PydanticCustomError("sku_twice", "a sku is used twice")
    return products


class NewProducts(Body):
    """Up to 1,000 products, added together or not at all."""

    products: Annotated[
        list[NewProduct],
        Field(min_length=1, max_length=1000),
        AfterValidator(_each_sku_once),
    ]


class ProductChange(Changes):
    """What to change; whatever is left out stays as it is."""

    name: Text | None = None
    price: Price | None = None
    active: bool | None = None
    low_stock: Pieces | None = None
    allow_partial: bool | None = None
    category: Literal[""] | CategoryId | None = Field(
        None, description="empty takes the product out of its category"
    )

    def command(self, sku: str) -> ChangeProduct:
        price = self.price.money() if self.price else None
        return ChangeProduct(
            sku=sku,
            name=self.name,
            price=price,
            active=self.active,
            low_stock=self.low_stock,
            allow_partial=self.allow_partial,
            category=self.category,
        )


class NewCategory(Body):
    """A category, under an id that stays."""

    id: CategoryId
    name: Annotated[Text, Field(examples=["Home decor"])]


class CategoryChange(Body):
    """A category's new name."""

    name: Annotated[Text, Field(examples=["Home decor"])]


class Adjustment(Body):
    """A correction of the count: what came (positive) or is gone (negative), and why."""

    sku: Annotated[Sku, Field(examples=["85123A"])]
    quantity: Annotated[
        int,
        Field(
            ge=-MAX_PIECES,
            le=MAX_PIECES,
            examples=[12],
            json_schema_extra={"not": {"const": 0}},
        ),
        AfterValidator(_something),
    ]
    reason: Annotated[Text, Field(examples=["delivery"])]
    reference: Annotated[
        Reference | None,
        Field(description="delivery note or count: a request with it may safely be repeated"),
    ] = None


class WantedItem(Body):
    """One product and how many of it."""

    sku: Annotated[Sku, Field(examples=["85123A"])]
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]


class AvailabilityQuestion(Body):
    """What somebody would like to order, as the order would list it."""

    items: Annotated[list[WantedItem], Field(min_length=1, max_length=1000)]

    def wanted(self) -> dict[str, int]:
        """Add up what is wanted of each product."""
        total: Counter[str] = Counter()
        for item in self.items:
            total[item.sku] += item.quantity
        return dict(total)
