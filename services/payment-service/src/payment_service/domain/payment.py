"""The payment as a desired state, and the one operation that leads there next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from common.message import Cause, Event, Outcome, Received, Said

from payment_service.messages import Money, PaymentVoided

AT_ONCE = timedelta(0)

WITHHELD = "withheld"
"""Stands for a card's number that came in a token's place: not even our books take it."""


class Wanted(StrEnum):
    """What the order needs of its money; CLOSED absorbs."""

    NONE = "NONE"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    CLOSED = "CLOSED"


class Goods(StrEnum):
    """How much of the order there is to be paid for."""

    UNKNOWN = "UNKNOWN"
    WHOLE = "WHOLE"
    PART = "PART"
    """The customer decides: neither the first total nor another is due."""
    AGREED = "AGREED"
    """The customer takes a part, for the amended total."""


class Have(StrEnum):
    """What the provider is known to have done; a partial refund leaves it CAPTURED."""

    NONE = "NONE"
    AUTHORIZED = "AUTHORIZED"
    DECLINED = "DECLINED"
    CAPTURED = "CAPTURED"
    CAPTURE_FAILED = "CAPTURE_FAILED"
    VOIDED = "VOIDED"
    REFUNDED = "REFUNDED"


class Kind(StrEnum):
    """What is asked of the provider; LOOK only asks whether a late authorisation turned up."""

    AUTHORIZE = "AUTHORIZE"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"
    LOOK = "LOOK"


class RefundStatus(StrEnum):
    """Where a refund stands."""

    REQUESTED = "REQUESTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing to ask of the provider for a payment."""

    kind: Kind
    refund_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """The operation that a payment waits for: at most one, under one idempotency key."""

    operation: Operation
    number: int = 1
    calls: int = 0
    """How often the provider may have been called with this key; 0 means certainly never."""
    in_doubt: bool = False
    """The key can't tell any more: only a look at the provider's own records does."""
    looks: int = 0
    """How many looks showed that this attempt did nothing."""
    called_at: datetime | None = None
    last_call_at: datetime | None = None
    token: UUID | None = None
    """Whose lease it is."""


@dataclass(frozen=True, slots=True)
class Refund:
    """A part of the captured money on its way back."""

    refund_id: UUID
    amount: int
    status: RefundStatus = RefundStatus.REQUESTED
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """The money of one order."""

    order_id: UUID
    customer_id: UUID | None = None
    """Who may look at it."""
    wanted: Wanted = Wanted.NONE
    have: Have = Have.NONE
    goods: Goods = Goods.UNKNOWN
    amount: int | None = None
    currency: str | None = None
    payment_method: str | None = None
    intent_id: str | None = None
    code: str | None = None
    captured: int = 0
    refunded: int = 0
    refunds: tuple[Refund, ...] = ()
    answer_owed: bool = False
    """A closing was heard and not answered since."""
    answered: bool = False
    """A closing was answered before: money that turns up now is late."""
    attempt: Attempt | None = None
    delay: timedelta | None = None
    """When the attempt is due, from the transaction's clock; None leaves it as it was."""
    cause: Cause | None = None

    @property
    def payment_id(self) -> UUID:
        """Derive the id from the order's: a restored database makes the same keys again."""
        return uuid5(self.order_id, "payment")

    @property
    def close_refund_id(self) -> UUID:
        """Name the one refund that gives back all that is left at the closing."""
        return uuid5(self.payment_id, "close")

    @property
    def is_placed(self) -> bool:
        """Whether all that an authorisation needs is known."""
        is_agreed = self.goods in {Goods.WHOLE, Goods.AGREED}
        return is_agreed and self.amount is not None and self.payment_method is not None

    @property
    def asked(self) -> Refund | None:
        """The refund to be made next."""
        return next((r for r in self.refunds if r.status is RefundStatus.REQUESTED), None)

    @property
    def refundable(self) -> int:
        """What is captured and neither given back nor about to be."""
        asked = sum(r.amount for r in self.refunds if r.status is RefundStatus.REQUESTED)
        return self.captured - self.refunded - asked

    @property
    def in_flight(self) -> bool:
        """Whether the provider may be working, or may have worked, on the attempt."""
        return self.attempt is not None and self.attempt.calls > 0

    @property
    def was_asked_for(self) -> bool:
        """Whether the provider may know the amount: then no other can be asked for."""
        return self.have is not Have.NONE or self.in_flight

    @property
    def waits(self) -> bool:
        """Whether an operation is under way that can move money; a mere look can't."""
        return self.attempt is not None and self.attempt.operation.kind is not Kind.LOOK

    def refund(self, refund_id: UUID | None) -> Refund | None:
        return next((r for r in self.refunds if r.refund_id == refund_id), None)

    def money(self, amount: int) -> Money:
        return Money(amount=amount, currency=self.currency or "")


def next_operation(payment: Payment) -> Operation | None:
    """Name the operation that leads from what we have to what is wanted, if there is one."""
    if payment.have is Have.CAPTURED and payment.asked is not None:
        return Operation(Kind.REFUND, payment.asked.refund_id)
    match payment.wanted, payment.have:
        case Wanted.AUTHORIZED | Wanted.CAPTURED, Have.NONE if payment.is_placed:
            return Operation(Kind.AUTHORIZE)
        case Wanted.CAPTURED, Have.AUTHORIZED:
            return Operation(Kind.CAPTURE)
        case Wanted.CLOSED, Have.AUTHORIZED | Have.CAPTURE_FAILED:
            return Operation(Kind.VOID)
        case Wanted.CLOSED, Have.CAPTURED:
            return Operation(Kind.REFUND, payment.close_refund_id)
        case _:
            return None


def advance(payment: Payment) -> Payment:
    """Take up the next operation, unless one is in flight: that one ends first."""
    if payment.in_flight:
        return payment
    operation = next_operation(payment)
    if operation is None:
        return payment if not payment.waits else replace(payment, attempt=None)
    if payment.attempt is not None and payment.attempt.operation == operation:
        return payment
    refunds = payment.refunds
    if operation.kind is Kind.REFUND and payment.refund(operation.refund_id) is None:
        refunds = (*refunds, Refund(payment.close_refund_id, payment.refundable))
    return replace(payment, attempt=Attempt(operation), delay=AT_ONCE, refunds=refunds)


def conclude(before: Payment, after: Payment, *said: Event) -> Outcome:
    """Move on, and answer a closing once nothing is held and nothing is under way."""
    after = advance(after)
    if after.answer_owed and not after.waits:
        after = replace(after, answer_owed=False, answered=True)
        said = (*said, voided(after, nothing_held=True))
    return Outcome((after,) if after != before else (), said)


def at_least_authorized(wanted: Wanted) -> Wanted:
    """Want the money held, or more if more is wanted already."""
    return Wanted.AUTHORIZED if wanted is Wanted.NONE else wanted


def voided(payment: Payment, *, nothing_held: bool) -> PaymentVoided:
    """Answer a closing; an order that never had a payment has no payment id."""
    return PaymentVoided(
        order_id=payment.order_id,
        payment_id=payment.payment_id if payment.amount is not None else None,
        nothing_held=nothing_held,
        closing=True,
    )


@dataclass(slots=True)
class Book:
    """The payments that one batch looks at and changes, by order."""

    payments: dict[UUID, Payment]
    changed: set[UUID] = field(default_factory=set)

    def of(self, order_id: UUID) -> Payment:
        return self.payments[order_id]

    def put(self, payment: Payment) -> None:
        self.payments[payment.order_id] = payment
        self.changed.add(payment.order_id)

    def apply(
        self, message: Received, changes: tuple[object, ...], _said: Sequence[Said], /
    ) -> None:
        """Fold one decided message in; what the provider answers later is caused by it."""
        for payment in changes:
            if isinstance(payment, Payment):
                self.put(replace(payment, cause=message.cause))
