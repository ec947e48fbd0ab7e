"""The events that order-service says and hears, as it reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeAlias
from uuid import UUID

from common.message import Event
from pydantic import BaseModel, ConfigDict, Field

Amount = Annotated[int, Field(ge=0, le=2**63 - 1)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A stable reason in snake case: it is shown to customers and labels a metric."""

ProviderCode = Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,200}$")]
"""The provider's own word, kept for the timeline: printable, or it could not be stored."""

By = Literal["customer", "staff", "system"]
Availability = Literal["NONE", "LOW", "SOME"]


class Part(BaseModel):
    """A record inside an event."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Money(Part):
    """An amount in the currency's minor units."""

    amount: Amount
    currency: Currency


class OrderLine(Part):
    """One product of an order at the price it is sold for."""

    line_no: int
    sku: str
    quantity: int
    unit_price: Money


class StockLine(Part):
    """How much of one line."""

    line_no: int
    sku: str
    quantity: int


class AskedLine(Part):
    """How much of one line was asked for, and how much of that is held."""

    line_no: int
    sku: str
    asked: int
    available: int


class _OrderEvent(Event):
    TOPIC: ClassVar[str] = "orders.v1"

    order_id: UUID


class _CustomersOrderEvent(_OrderEvent):
    customer_id: UUID


class OrderPlaced(_CustomersOrderEvent):
    """A customer's order was accepted and waits for stock and money."""

    lines: tuple[OrderLine, ...]
    total: Money
    payment_method: str
    deadline_at: datetime


class OrderLinesAmended(_OrderEvent):
    """The customer accepted the part of the order that is in stock."""

    lines: tuple[OrderLine, ...]
    total: Money


class OrderConfirmed(_CustomersOrderEvent):
    """The pivot: stock is reserved and money authorised."""


class OrderRejected(_CustomersOrderEvent):
    """The order is over: stock or money was refused."""

    reason: Code
    by: By


class OrderExpired(_CustomersOrderEvent):
    """The order is over: its deadline passed before it was confirmed."""

    reason: Code
    by: By


class OrderCancelRequested(_CustomersOrderEvent):
    """The order is to end: somebody asked for it, or its money could not be taken."""

    reason: Code
    by: By


Closing: TypeAlias = OrderRejected | OrderExpired | OrderCancelRequested
"""The events that end an order: inventory and payment answer each of them."""


class OrderCancelled(_CustomersOrderEvent):
    """The cancelled order holds neither stock nor money any more."""

    reason: Code


class OrderCompleted(_CustomersOrderEvent):
    """The stock is committed and the money captured."""


class OrderShipped(_CustomersOrderEvent):
    """Staff handed the order over to a carrier."""

    by: By = "staff"


class OrderDelivered(_CustomersOrderEvent):
    """The order reached its customer."""

    by: By = "staff"


class RefundRequested(_OrderEvent):
    """Staff gives money back, and the lines named go back on the shelf."""

    refund_id: UUID
    amount: Money
    lines: tuple[StockLine, ...]
    refunded_lines: tuple[StockLine, ...] = ()
    reason: str = ""
    by: By = "staff"


class CustomerChanged(Event):
    """A customer's contact data as it is now."""

    TOPIC: ClassVar[str] = "customers.v1"
    KEY: ClassVar[str] = "customer_id"

    customer_id: UUID
    name: str | None
    email: str
    language: str


class _StockEvent(Event):
    TOPIC: ClassVar[str] = "inventory.v1"

    order_id: UUID


class StockReserved(_StockEvent):
    """Everything that the order wants is held for it."""


class StockPartiallyReserved(_StockEvent):
    """A part of the order is held; the customer decides."""

    lines: tuple[AskedLine, ...]


class StockRejected(_StockEvent):
    """Nothing is held: at least one line is short."""

    reason: Code


class StockCommitted(_StockEvent):
    """What was held for the order is sold."""


class StockReleased(_StockEvent):
    """Stock went back on the shelf, or none was held."""

    closing: bool
    refund_id: UUID | None = None


class _PaymentEvent(Event):
    TOPIC: ClassVar[str] = "payments.v1"

    order_id: UUID


class PaymentAuthorized(_PaymentEvent):
    """The provider holds the order's amount."""


class PaymentDeclined(_PaymentEvent):
    """The provider refused to authorise."""

    code: ProviderCode


class PaymentCaptured(_PaymentEvent):
    """The authorised money was taken."""

    amount: Money


class PaymentCaptureFailed(_PaymentEvent):
    """The authorised money could not be taken."""

    code: ProviderCode


class PaymentVoided(_PaymentEvent):
    """The authorisation was given up, or none was held."""

    closing: bool


class PaymentRefunded(_PaymentEvent):
    """Captured money was given back."""

    refund_id: UUID
    amount: Money
    cumulative: Money
    closing: bool


class RefundFailed(_PaymentEvent):
    """The provider refused to give money back."""

    refund_id: UUID
    amount: Money
    code: ProviderCode
    closing: bool


class LatePaymentReversed(_PaymentEvent):
    """Money that arrived after the closing was answered was given back by payment itself."""

    amount: Money


class ProductChanged(Event):
    """A product as it is now."""

    TOPIC: ClassVar[str] = "catalog.v1"
    KEY: ClassVar[str] = "sku"

    sku: str
    name: str
    price: Money
    active: bool
    availability: Availability
