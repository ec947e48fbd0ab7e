"""What the provider's list and our payments disagree about: values in, differences out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from typing_extensions import override

from payment_service.domain.payment import Have, Payment, RefundStatus


class Reason(StrEnum):
    """In what they differ."""

    UNKNOWN_PAYMENT = "UNKNOWN_PAYMENT"
    """Money at the provider for no payment of ours."""
    UNACCOUNTED = "UNACCOUNTED"
    """Money at the provider that its payment does not know of, such as a second charge."""
    MISSING = "MISSING"
    """The provider has nothing of what we hold, took or gave up."""
    AMOUNT = "AMOUNT"
    STATE = "STATE"
    REFUND_UNKNOWN = "REFUND_UNKNOWN"
    """Money that the provider gave back and we did not ask for, or call failed."""
    REFUND_AMOUNT = "REFUND_AMOUNT"
    REFUND_MISSING = "REFUND_MISSING"
    """Money that we say was given back and the provider still has."""


@dataclass(frozen=True, slots=True)
class IntentTold:
    """An intent in the provider's list."""

    id: str
    payment_id: UUID | None
    status: str
    amount: int
    received: int
    currency: str

    @property
    def has_money(self) -> bool:
        return self.status in {"requires_capture", "succeeded"}

    @override
    def __str__(self) -> str:
        return f"{self.status}, {self.amount} {self.currency}, received {self.received}"


@dataclass(frozen=True, slots=True)
class RefundTold:
    """A refund in the provider's list."""

    id: str
    intent_id: str
    refund_id: UUID | None
    amount: int
    currency: str

    @override
    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


@dataclass(frozen=True, slots=True)
class Told:
    """All that the provider told."""

    intents: tuple[IntentTold, ...]
    refunds: tuple[RefundTold, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing to look at."""

    reason: Reason
    payment: Payment | None
    provider_id: str | None
    ours: str
    theirs: str


_STATUS = {
    Have.AUTHORIZED: {"requires_capture"},
    Have.CAPTURED: {"succeeded"},
    Have.REFUNDED: {"succeeded"},
    Have.CAPTURE_FAILED: {"requires_capture", "canceled"},
    Have.VOIDED: {"canceled"},
}


def differences(payments: Sequence[Payment], told: Told) -> list[Difference]:
    """Compare payments at rest with all that the provider has of them, and of nobody's."""
    ours = {payment.payment_id: payment for payment in payments}
    intents: defaultdict[UUID | None, list[IntentTold]] = defaultdict(list)
    for intent in told.intents:
        known = intent.payment_id in ours
        intents[intent.payment_id if known else None].append(intent)
    found = [
        Difference(Reason.UNKNOWN_PAYMENT, None, intent.id, "-", str(intent))
        for intent in intents[None]
        if intent.has_money
    ]
    refunds: defaultdict[str, list[RefundTold]] = defaultdict(list)
    for refund in told.refunds:
        refunds[refund.intent_id].append(refund)
    for payment in payments:
        found += _of_intents(payment, intents[payment.payment_id])
        found += _of_refunds(payment, refunds[payment.intent_id or ""])
    return found


def _of_intents(payment: Payment, intents: Iterable[IntentTold]) -> Iterator[Difference]:
    own = None
    for intent in intents:
        if intent.id == payment.intent_id:
            own = intent
        elif intent.has_money:
            yield _difference(Reason.UNACCOUNTED, payment, intent.id, str(intent))
    if payment.intent_id is None:
        return
    if own is None:
        yield _difference(Reason.MISSING, payment, payment.intent_id, "-")
    elif (own.amount, own.currency) != (payment.amount, payment.currency):
        yield _difference(Reason.AMOUNT, payment, own.id, str(own))
    elif own.status not in _STATUS.get(payment.have, set()) or own.received != payment.captured:
        yield _difference(Reason.STATE, payment, own.id, str(own))


def _of_refunds(payment: Payment, told: Iterable[RefundTold]) -> Iterator[Difference]:
    ours = {r.refund_id: r for r in payment.refunds if r.status is RefundStatus.SUCCEEDED}
    for refund in told:
        own = ours.pop(refund.refund_id, None) if refund.refund_id else None
        if own is None:
            yield _difference(Reason.REFUND_UNKNOWN, payment, refund.id, str(refund))
        elif (own.amount, payment.currency) != (refund.amount, refund.currency):
            yield _difference(Reason.REFUND_AMOUNT, payment, refund.id, str(refund))
    for refund_id, missing in ours.items():
        text = f"refund {refund_id}, {missing.amount} {payment.currency}"
        yield Difference(Reason.REFUND_MISSING, payment, None, text, "-")


def _difference(reason: Reason, payment: Payment, provider_id: str, theirs: str) -> Difference:
    ours = f"{payment.have}, {payment.amount} {payment.currency}, captured {payment.captured}"
    return Difference(reason, payment, provider_id, ours, theirs)
