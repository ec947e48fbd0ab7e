"""The events that payment hears and says, as it reads them."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from common.message import Event
from pydantic import BaseModel, ConfigDict, Field


class Money(BaseModel):
    """An amount in the currency's minor units."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    amount: Annotated[int, Field(gt=0, le=2**63 - 1)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class _OrderEvent(Event):
    TOPIC: ClassVar[str] = "orders.v1"

    order_id: UUID


class OrderPlaced(_OrderEvent):
    """A customer's order waits for stock and money."""

    customer_id: UUID
    total: Money
    payment_method: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")]


class OrderLinesAmended(_OrderEvent):
    """The customer takes the part that is in stock, for a new total."""

    total: Money


class OrderConfirmed(_OrderEvent):
    """The pivot: the money held is to be taken."""


class OrderRejected(_OrderEvent):
    """The order is over: stock or money was refused."""


class OrderExpired(_OrderEvent):
    """The order is over: its deadline passed."""


class OrderCancelRequested(_OrderEvent):
    """The order is to end: somebody asked for it."""


Closing = OrderRejected | OrderExpired | OrderCancelRequested
"""The events that end an order; each is answered when nothing is held any more."""


class RefundRequested(_OrderEvent):
    """Staff gives a part of the captured money back."""

    refund_id: UUID
    amount: Money


class _StockEvent(Event):
    TOPIC: ClassVar[str] = "inventory.v1"

    order_id: UUID


class StockReserved(_StockEvent):
    """Everything that the order wants is held for it."""


class StockPartiallyReserved(_StockEvent):
    """A part is held; the customer decides, and the decision comes as OrderLinesAmended."""


class _PaymentEvent(Event):
    TOPIC: ClassVar[str] = "payments.v1"

    order_id: UUID
    payment_id: UUID


class PaymentAuthorized(_PaymentEvent):
    """The provider holds the order's amount for us."""

    authorization_id: str
    amount: Money


class PaymentDeclined(_PaymentEvent):
    """The provider refused to authorise; it is an answer, not an error."""

    code: str


class PaymentCaptured(_PaymentEvent):
    """The money held was taken."""

    amount: Money


class PaymentCaptureFailed(_PaymentEvent):
    """The money held could not be taken."""

    code: str


class PaymentVoided(Event):
    """The authorisation was given up, or none was held."""

    TOPIC: ClassVar[str] = "payments.v1"

    order_id: UUID
    payment_id: UUID | None
    nothing_held: bool
    closing: bool


class PaymentRefunded(_PaymentEvent):
    """Captured money was given back."""

    refund_id: UUID
    amount: Money
    cumulative: Money
    closing: bool


class RefundFailed(_PaymentEvent):
    """Money that staff wanted to give back stays captured."""

    refund_id: UUID
    amount: Money
    code: str
    closing: bool


class LatePaymentReversed(_PaymentEvent):
    """Money that arrived after the closing was answered was given back."""

    amount: Money
