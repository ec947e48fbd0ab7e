"""What the provider tells of its own accord: never an answer, at most a reason to ask it now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from payment_service.domain.payment import (
    AT_ONCE,
    Attempt,
    Kind,
    Operation,
    Payment,
    Wanted,
)


class Verdict(StrEnum):
    """What a notice came to."""

    LOOKING = "LOOKING"
    """The provider is asked now instead of later."""
    NOTED = "NOTED"
    """Nothing that we don't know or are not about to hear."""
    MISMATCH = "MISMATCH"
    """Another amount, currency, order or intent than ours: somebody has to look at it."""
    UNEXPLAINED = "UNEXPLAINED"
    """Money is held for a payment that neither waits for it nor is over: the same."""
    UNKNOWN_PAYMENT = "UNKNOWN_PAYMENT"
    """It names no payment of ours."""
    IGNORED = "IGNORED"
    """It is about something that this service does not handle."""


ALARMING = frozenset({Verdict.MISMATCH, Verdict.UNEXPLAINED})


@dataclass(frozen=True, slots=True)
class Notice:
    """A fact about an intent or a refund, perhaps old, perhaps told before."""

    event_id: str
    type: str
    intent_id: str
    payment_id: UUID | None
    order_id: UUID | None
    refund_id: UUID | None
    """Of a refund, by our own metadata; None tells of the intent."""
    amount: int
    currency: str
    holds_money: bool
    is_refund: bool
    created_at: datetime
    """When the provider made the object."""


def take_notice(payment: Payment, notice: Notice) -> tuple[Verdict, Payment]:
    """Compare what is told with what we know, and decide whether the provider is asked now.

    The notice itself settles nothing: it may be older than what we know, and it came uncalled.
    """
    if not _agrees(payment, notice):
        return Verdict.MISMATCH, payment
    if payment.attempt is None and (not notice.holds_money or payment.intent_id is not None):
        return Verdict.NOTED, payment
    if payment.attempt is None and payment.wanted is not Wanted.CLOSED:
        return Verdict.UNEXPLAINED, payment
    if notice.holds_money and payment.attempt is not None and _is_look_in_hand(payment.attempt):
        return _void_look(payment, payment.attempt)
    return ask_now(payment, notice.created_at)


def ask_now(
    payment: Payment, since: datetime, until: datetime | None = None
) -> tuple[Verdict, Payment]:
    """Have the provider asked now: for the answer that is awaited, or for money after the end.

    That may be of a call between these two moments; of the first one, if there is no other.
    """
    if payment.attempt is not None:
        return _hurry(payment, payment.attempt)
    over = payment.wanted is Wanted.CLOSED and payment.intent_id is None
    if not over or payment.amount is None:
        return Verdict.NOTED, payment
    look = Attempt(Operation(Kind.LOOK), called_at=since, last_call_at=until)
    return Verdict.LOOKING, replace(payment, attempt=look, delay=AT_ONCE)


def _agrees(payment: Payment, notice: Notice) -> bool:
    expected: tuple[int | None, str | None] = (payment.amount, payment.currency)
    if notice.is_refund:
        refund = payment.refund(notice.refund_id)
        expected = (refund.amount if refund else None, payment.currency)
    same_intent = payment.intent_id in {None, notice.intent_id} or not notice.holds_money
    return (
        same_intent
        and notice.order_id == payment.order_id
        and (notice.amount, notice.currency) == expected
    )


def _is_look_in_hand(attempt: Attempt) -> bool:
    looks = attempt.in_doubt or attempt.operation.kind is Kind.LOOK
    return looks and attempt.token is not None


def _void_look(payment: Payment, attempt: Attempt) -> tuple[Verdict, Payment]:
    """Take the look out of its worker's hands: it may have been made before the money came.

    That it showed nothing would close the search for good, or allow a charge under another key.
    """
    free = replace(attempt, token=None)
    return Verdict.LOOKING, replace(payment, attempt=free, delay=AT_ONCE)


def _hurry(payment: Payment, attempt: Attempt) -> tuple[Verdict, Payment]:
    """Bring the next call forward, where its lateness protects nothing.

    The same key may be used again at any time. The time between two looks that show nothing is
    what allows a new key, so that one stays.
    """
    patient = attempt.looks > 0 or attempt.operation.kind is Kind.LOOK
    in_hand = attempt.token is not None or attempt.calls == 0
    if patient or in_hand:
        return Verdict.NOTED, payment
    return Verdict.LOOKING, replace(payment, delay=AT_ONCE)
