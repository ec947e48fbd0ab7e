"""The events that inventory hears and says, as it reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from common.message import Event
from pydantic import BaseModel, ConfigDict, Field, model_validator

Sku = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9])?$")]
"""Inner spaces are allowed: the catalogues of real shops have them."""

LineNo = Annotated[int, Field(ge=1)]
Quantity = Annotated[int, Field(ge=1, le=2**31 - 1)]
Availability = Literal["NONE", "LOW", "SOME"]


class Part(BaseModel):
    """A record inside an event."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Money(Part):
    """An amount in the currency's minor units."""

    amount: Annotated[int, Field(ge=0, le=2**63 - 1)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class StockLine(Part):
    """How much of one line is wanted, held or given back."""

    line_no: LineNo
    sku: Sku
    quantity: Quantity


class AskedLine(Part):
    """What one line asked for, and how much of that there is for it."""

    line_no: int
    sku: str
    asked: int
    available: int


class _OrderEvent(Event):
    TOPIC: ClassVar[str] = "orders.v1"

    order_id: UUID


class _OrderLines(_OrderEvent):
    lines: Annotated[tuple[StockLine, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _number_each_line_once(self) -> Self:
        if len({line.line_no for line in self.lines}) < len(self.lines):
            message = "a line number is used twice"
            raise ValueError(message)
        return self


class OrderPlaced(_OrderLines):
    """A customer's order waits for stock and money."""

    deadline_at: datetime


class OrderLinesAmended(_OrderLines):
    """The customer takes the part that there was: these lines are all that the order is now."""


class OrderConfirmed(_OrderEvent):
    """The pivot: what is held is sold."""


class OrderRejected(_OrderEvent):
    """The order is over: stock or money was refused."""


class OrderExpired(_OrderEvent):
    """The order is over: its deadline passed."""


class OrderCancelRequested(_OrderEvent):
    """The order is to end: somebody asked for it."""


Closing = OrderRejected | OrderExpired | OrderCancelRequested
"""The events that end an order; each is answered with a closing StockReleased."""


class RefundRequested(_OrderEvent):
    """Staff gives money back, and the lines named go back on the shelf."""

    refund_id: UUID
    lines: Annotated[tuple[StockLine, ...], Field(max_length=1000)]


class _StockEvent(Event):
    TOPIC: ClassVar[str] = "inventory.v1"

    order_id: UUID


class StockReserved(_StockEvent):
    """Everything that the order wants is held for it."""

    lines: tuple[StockLine, ...]


class StockPartiallyReserved(_StockEvent):
    """A part of the order is held, as much as each line has available; the customer decides."""

    lines: tuple[AskedLine, ...]


class StockRejected(_StockEvent):
    """Nothing is held: the lines named are short."""

    lines: tuple[AskedLine, ...]
    reason: str = "insufficient_stock"


class StockCommitted(_StockEvent):
    """What was held for the order is sold."""


class StockReleased(_StockEvent):
    """Stock went back on the shelf, or none was held."""

    lines: tuple[StockLine, ...]
    nothing_held: bool
    closing: bool
    refund_id: UUID | None = None


class ProductChanged(Event):
    """A product as it is now."""

    TOPIC: ClassVar[str] = "catalog.v1"
    KEY: ClassVar[str] = "sku"

    sku: str
    name: str
    price: Money
    active: bool
    availability: Availability
