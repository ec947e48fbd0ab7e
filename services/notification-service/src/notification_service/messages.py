"""The events that notification hears and says, as it reads them."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from common.message import Event
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

Kind = Literal[
    "welcome",
    "decide",
    "confirmed",
    "rejected",
    "expired",
    "cancelled",
    "shipped",
    "refunded",
    "reversed",
]


class Part(BaseModel):
    """A record inside an event."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Money(Part):
    """An amount in the currency's minor units."""

    amount: Annotated[int, Field(ge=0, le=2**63 - 1)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class OrderLine(Part):
    """What the customer reads of one line."""

    sku: str
    quantity: Annotated[int, Field(ge=1, le=2**31 - 1)]
    unit_price: Money


class AskedLine(Part):
    """How much of one line is held for the customer to take."""

    sku: str
    available: Annotated[int, Field(ge=0, le=2**31 - 1)]


class _OrderEvent(Event):
    TOPIC: ClassVar[str] = "orders.v1"

    order_id: UUID


class OrderPlaced(_OrderEvent):
    """Says whom to write to about an order, and what it is."""

    customer_id: UUID
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=1000)]
    total: Money


class OrderLinesAmended(_OrderEvent):
    """The customer takes the part that is in stock, for a new total."""

    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=1000)]
    total: Money


class OrderConfirmed(_OrderEvent):
    """Stock and money are there."""


class OrderRejected(_OrderEvent):
    """Stock or money was refused."""

    reason: str


class OrderExpired(_OrderEvent):
    """The deadline passed."""

    reason: str


class OrderCancelled(_OrderEvent):
    """All that was held for the order is given back."""

    reason: str


class OrderCompleted(_OrderEvent):
    """The goods are committed and the money is ours."""


class OrderShipped(_OrderEvent):
    """The goods left the shop."""


class OrderDelivered(_OrderEvent):
    """The goods have arrived."""


class StockPartiallyReserved(Event):
    """A part of the order is there; the customer decides."""

    TOPIC: ClassVar[str] = "inventory.v1"

    order_id: UUID
    lines: Annotated[tuple[AskedLine, ...], Field(max_length=1000)]


class PaymentRefunded(Event):
    """Money went back, by a refund or by a closing."""

    TOPIC: ClassVar[str] = "payments.v1"

    order_id: UUID
    refund_id: UUID
    amount: Money


class LatePaymentReversed(Event):
    """Money that arrived after the order was over went back by itself."""

    TOPIC: ClassVar[str] = "payments.v1"

    order_id: UUID
    amount: Money


class CustomerChanged(Event):
    """A customer's contact data as it is now."""

    TOPIC: ClassVar[str] = "customers.v1"
    KEY: ClassVar[str] = "customer_id"

    customer_id: UUID
    name: str | None
    email: Annotated[str, Field(max_length=254)]
    language: str


class _Told(Event):
    TOPIC: ClassVar[str] = "notifications.v1"

    order_id: UUID | None
    customer_id: UUID
    kind: Kind
    subject: str
    channel: str
    language: str
    template: str

    @override
    def key(self) -> str:
        return str(self.order_id or self.customer_id)


class NotificationSent(_Told):
    """The channel took the message."""


class NotificationFailed(_Told):
    """The channel will never take the message."""

    reason: str


class NotificationSuppressed(_Told):
    """The message was not even tried."""

    reason: str
