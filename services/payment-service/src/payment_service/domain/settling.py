"""What the answers of the provider do to a payment, each for the attempt that waits for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from common.message import Event, Outcome, Stale

from payment_service.domain.answers import (
    Declined,
    Overtaken,
    Patience,
    Postponed,
    Report,
    Succeeded,
    Unknown,
    Untouched,
)
from payment_service.domain.payment import (
    AT_ONCE,
    Attempt,
    Have,
    Kind,
    Operation,
    Payment,
    Refund,
    RefundStatus,
    Wanted,
    conclude,
    next_operation,
    voided,
)
from payment_service.messages import (
    LatePaymentReversed,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    RefundFailed,
)

LOOKS = 2
"""One look may come too early for an effect that is still on its way; see Patience.look_again."""


def settle(payment: Payment, report: Report, patience: Patience) -> Outcome | Stale:
    """Fold one answer in; nothing that ended before is undone by it."""
    attempt, answer = payment.attempt, report.answer
    if attempt is None or (attempt.operation, attempt.number) != (report.operation, report.number):
        return _unexpected(payment, report)
    match answer:
        case Succeeded():
            return _succeed(payment, attempt.operation, answer)
        case Declined():
            return _decline(payment, attempt, answer, patience)
        case Overtaken():
            return _captured(payment)
        case Unknown() | Untouched() | Postponed():
            if attempt.token != report.token:
                return Stale("another worker has this attempt now")
            return _try_on(payment, attempt, answer, patience)
        case _:
            assert_never(answer)


def _unexpected(payment: Payment, report: Report) -> Outcome | Stale:
    """Take up money that turns up after the closing was answered, so that it is given back."""
    late = payment.answered and payment.intent_id is None and not payment.waits
    if late and report.operation.kind is Kind.AUTHORIZE and isinstance(report.answer, Succeeded):
        return _authorized(payment, report.answer)
    return Stale("nobody waits for this answer")


def _succeed(payment: Payment, operation: Operation, answer: Succeeded) -> Outcome:
    match operation.kind:
        case Kind.AUTHORIZE | Kind.LOOK:
            return _authorized(payment, answer)
        case Kind.CAPTURE:
            return _captured(payment)
        case Kind.VOID:
            return _reversed(
                payment,
                replace(payment, have=Have.VOIDED, attempt=None),
                voided(payment, nothing_held=False),
            )
        case Kind.REFUND:
            return _refunded(payment, operation)
        case _:
            assert_never(operation.kind)


def _authorized(payment: Payment, answer: Succeeded) -> Outcome:
    held = replace(payment, have=Have.AUTHORIZED, intent_id=answer.intent_id, attempt=None)
    authorized = PaymentAuthorized(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        authorization_id=answer.intent_id,
        amount=payment.money(payment.amount or 0),
    )
    return conclude(payment, held, *(() if payment.answered else (authorized,)))


def _captured(payment: Payment) -> Outcome:
    taken = replace(payment, have=Have.CAPTURED, captured=payment.amount or 0, attempt=None)
    captured = PaymentCaptured(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        amount=payment.money(taken.captured),
    )
    return conclude(payment, taken, *(() if payment.answered else (captured,)))


def _refunded(payment: Payment, operation: Operation) -> Outcome:
    refund = _ended(payment, operation, RefundStatus.SUCCEEDED)
    refunded = payment.refunded + refund.amount
    back = replace(
        _with(payment, refund),
        refunded=refunded,
        have=Have.REFUNDED if refunded == payment.captured else payment.have,
        attempt=None,
    )
    closing = refund.refund_id == payment.close_refund_id
    fact = PaymentRefunded(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        refund_id=refund.refund_id,
        amount=payment.money(refund.amount),
        cumulative=payment.money(refunded),
        closing=closing,
    )
    return _reversed(payment, back, fact) if closing else conclude(payment, back, fact)


def _reversed(before: Payment, after: Payment, answer: Event) -> Outcome:
    """Answer the closing with the reversal, or tell of it as late when that was done before."""
    if not before.answered:
        return conclude(before, replace(after, answer_owed=False, answered=True), answer)
    late = LatePaymentReversed(
        order_id=before.order_id,
        payment_id=before.payment_id,
        amount=before.money(before.amount or 0),
    )
    return conclude(before, after, late)


def _decline(payment: Payment, attempt: Attempt, answer: Declined, patience: Patience) -> Outcome:
    match attempt.operation.kind:
        case Kind.AUTHORIZE:
            refused = replace(payment, have=Have.DECLINED, code=answer.code, attempt=None)
            return conclude(payment, refused, _fact(PaymentDeclined, payment, answer.code))
        case Kind.CAPTURE:
            failed = replace(payment, have=Have.CAPTURE_FAILED, code=answer.code, attempt=None)
            return conclude(payment, failed, _fact(PaymentCaptureFailed, payment, answer.code))
        case Kind.REFUND if attempt.operation.refund_id != payment.close_refund_id:
            return _refund_failed(payment, attempt.operation, answer.code)
        case Kind.VOID | Kind.REFUND:
            # What a closing has to give back is tried again for ever, each time under a new key:
            # a refusal says that this attempt did nothing.
            return _again(payment, attempt, patience.retry(attempt.number))
        case Kind.LOOK:
            return conclude(payment, replace(payment, attempt=None))
        case _:
            assert_never(attempt.operation.kind)


def _fact(
    event: type[PaymentDeclined | PaymentCaptureFailed], payment: Payment, code: str
) -> Event:
    return event(order_id=payment.order_id, payment_id=payment.payment_id, code=code)


def _refund_failed(payment: Payment, operation: Operation, code: str) -> Outcome:
    refund = replace(_ended(payment, operation, RefundStatus.FAILED), code=code)
    fact = RefundFailed(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        refund_id=refund.refund_id,
        amount=payment.money(refund.amount),
        code=code,
        closing=False,
    )
    return conclude(payment, replace(_with(payment, refund), attempt=None), fact)


def _ended(payment: Payment, operation: Operation, status: RefundStatus) -> Refund:
    refund = payment.refund(operation.refund_id)
    if refund is None:
        raise LookupError(f"no refund {operation.refund_id} in payment {payment.payment_id}")
    return replace(refund, status=status)


def _with(payment: Payment, refund: Refund) -> Payment:
    others = (refund if r.refund_id == refund.refund_id else r for r in payment.refunds)
    return replace(payment, refunds=tuple(others))


def _try_on(
    payment: Payment, attempt: Attempt, answer: Unknown | Untouched | Postponed, patience: Patience
) -> Outcome:
    """Keep the attempt, with the same key: nothing is known that would allow another."""
    freed = replace(attempt, token=None)
    match answer:
        case Unknown():
            kept = replace(freed, in_doubt=attempt.in_doubt or answer.look)
            return _later(payment, kept, answer.after + patience.retry(attempt.calls))
        case Postponed():
            kept = replace(freed, calls=attempt.calls - (not answer.called))
            return _later(payment, kept, answer.after + patience.retry(attempt.calls))
        case Untouched():
            return _untouched(payment, replace(freed, looks=attempt.looks + 1), patience)
        case _:
            assert_never(answer)


def _later(payment: Payment, attempt: Attempt, delay: timedelta) -> Outcome:
    return conclude(payment, replace(payment, attempt=attempt, delay=delay))


def _untouched(payment: Payment, attempt: Attempt, patience: Patience) -> Outcome:
    if attempt.operation.kind is Kind.LOOK:
        return conclude(payment, replace(payment, attempt=None))
    if attempt.looks < LOOKS:
        return _later(payment, replace(attempt, in_doubt=True), patience.look_again)
    if next_operation(payment) == attempt.operation:
        return _again(payment, attempt, AT_ONCE)
    ended = replace(payment, attempt=None)
    if attempt.operation.kind is Kind.AUTHORIZE and payment.wanted is Wanted.CLOSED:
        # The two looks decide; a last one, much later, finds what they could not see yet.
        look = Attempt(
            Operation(Kind.LOOK), called_at=attempt.called_at, last_call_at=attempt.last_call_at
        )
        ended = replace(ended, attempt=look, delay=patience.late_look)
    return conclude(payment, ended)


def _again(payment: Payment, attempt: Attempt, delay: timedelta) -> Outcome:
    following = Attempt(attempt.operation, number=attempt.number + 1)
    return _later(payment, following, delay)
