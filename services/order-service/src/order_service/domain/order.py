"""An order as order-service knows it: three axes, the money, and when its next timer is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from order_service.messages import By


class Status(StrEnum):
    """What the customer sees."""

    PENDING = "PENDING"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    CONFIRMED = "CONFIRMED"
    COMPLETED = "COMPLETED"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class Health(StrEnum):
    """What an operator sees of the saga."""

    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    COMPENSATED = "COMPENSATED"
    STUCK = "STUCK"


class Stock(StrEnum):
    """What inventory said last; its to decide, only mirrored here."""

    NONE = "NONE"
    RESERVED = "RESERVED"
    PARTIAL = "PARTIAL"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    REJECTED = "REJECTED"


class Payment(StrEnum):
    """What payment said last; its to decide, only mirrored here."""

    NONE = "NONE"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"


OPEN = frozenset({Status.PENDING, Status.ACTION_REQUIRED})
"""Not confirmed yet: the order's deadline is running."""

CLOSED = frozenset({Status.REJECTED, Status.EXPIRED, Status.CANCELLING, Status.CANCELLED})
"""A closing was said: inventory and payment answer it, or have answered."""

FULFILLED = frozenset({Status.COMPLETED, Status.SHIPPED, Status.DELIVERED})

UNSETTLED = OPEN | {Status.CONFIRMED, Status.CANCELLING}
"""An order with such a status is not settled, whatever its saga's health."""

UNDER_WAY = frozenset({Health.RUNNING, Health.WAITING, Health.COMPENSATING, Health.STUCK})
"""An order is settled once its saga's health is none of these."""

CANCELLABLE = OPEN | {Status.CONFIRMED, Status.COMPLETED}
"""Not after shipping: then it is a refund."""


@dataclass
class Order:
    """One row of the projection: everything here follows from the order's own events.

    Only a fold changes one, and only its own copy: `dataclasses.replace` took a quarter of the
    time of a batch.
    """

    order_id: UUID
    customer_id: UUID
    total: int
    currency: str
    deadline_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1
    status: Status = Status.PENDING
    saga: Health = Health.RUNNING
    stock: Stock = Stock.NONE
    payment: Payment = Payment.NONE
    reason: str | None = None
    closed_by: By | None = None
    stock_closed: bool = False
    payment_closed: bool = False
    amount_captured: int = 0
    amount_refunded: int = 0
    offer: Mapping[int, int] | None = None
    """What is held of each line, by its number, while the customer decides on it."""
    own_deadline_at: datetime | None = None
    """The order's own deadline, while `deadline_at` is the earlier one of the decision."""
    noted: frozenset[str] = frozenset()
    """Facts that change no axis, by their own key: what tells a repeated one from a new one."""
    stuck_reason: str | None = None
    stuck_at: datetime | None = None
    closing_since: datetime | None = None
    closing_attempts: int = 0
    closing_due_at: datetime | None = None
    confirmed_at: datetime | None = None
    completed_at: datetime | None = None
    settled_at: datetime | None = None

    @property
    def is_closed(self) -> bool:
        """Tell whether inventory and payment were told that the order ends."""
        return self.status in CLOSED

    @property
    def is_answered(self) -> bool:
        """Tell whether neither stock nor money is held any more."""
        return self.stock_closed and self.payment_closed

    @property
    def is_settled(self) -> bool:
        """Tell whether the saga is over, one way or the other."""
        return self.status in FULFILLED or (self.is_closed and self.saga is Health.COMPENSATED)

    def copy(self) -> Order:
        """Make a twin to change."""
        twin = object.__new__(Order)
        twin.__dict__.update(self.__dict__)
        return twin


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each timer of the saga waits."""

    deadline: timedelta = timedelta(minutes=15)
    decision: timedelta = timedelta(minutes=10)
    answer: timedelta = timedelta(minutes=2)
    compensation: timedelta = timedelta(minutes=30)
    completion: timedelta = timedelta(minutes=30)


class UnknownOrder(LookupError):
    """A fact about an order that was never placed here: this service speaks first, so look why."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"order {order_id} was never placed here")


class ImpossibleFact(Exception):
    """A fact that contradicts all that was said before: nothing is guessed, somebody must look."""
