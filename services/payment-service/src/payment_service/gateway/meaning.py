"""What the provider's answers mean: every one ends in a named class, and no other has an effect."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from common import telemetry
from pydantic import BaseModel, ValidationError

from payment_service.domain.answers import (
    Answer,
    Declined,
    Errand,
    Overtaken,
    Postponed,
    Succeeded,
    Unknown,
    Untouched,
)
from payment_service.domain.payment import Kind
from payment_service.gateway.client import Interrupted, Reply
from payment_service.gateway.wire import ErrorBody, Intent, Refund

B = TypeVar("B", bound=BaseModel)

_CALLS_BEFORE_LOOK = 3
"""A server error without the mark of a replay may be a proxy's, gone a moment later."""

_SAME_KEY_LATER = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})
_NOT_LET_IN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

_DONE = frozenset(
    {
        ("requires_capture", Kind.AUTHORIZE),
        ("requires_capture", Kind.LOOK),
        # Then the capture that follows finds that it is done.
        ("succeeded", Kind.AUTHORIZE),
        ("succeeded", Kind.LOOK),
        ("succeeded", Kind.CAPTURE),
        ("canceled", Kind.VOID),
    }
)
_NOT_HELD = frozenset({"canceled", "requires_payment_method"})
_STATE_CODES = frozenset({"payment_intent_unexpected_state", "charge_already_refunded"})

_log = telemetry.get_logger()


class Refused(Exception):
    """An answer other than 200, as what it means."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def read(kind: type[B], body: dict[str, Any]) -> B:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        places = sorted({".".join(map(str, each["loc"])) for each in error.errors()})
        raise Interrupted(f"unreadable {kind.__name__}: {', '.join(places)[:100]}") from error


def accepted(errand: Errand, reply: Reply) -> dict[str, Any]:
    """Pass on what a 200 says; raise what anything else means."""
    status = reply.status
    if status == HTTPStatus.OK:
        return reply.body
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        dead = reply.replayed or errand.calls >= _CALLS_BEFORE_LOOK
        raise Refused(Unknown(f"server error {status}", look=dead, after=reply.retry_after))
    if status in _SAME_KEY_LATER:
        raise Refused(Postponed(f"not now, {status}", after=reply.retry_after))
    if status in _NOT_LET_IN:
        _alarm("provider refuses our credentials", errand, code=str(status))
        raise Refused(Postponed("credentials refused"))
    if status >= HTTPStatus.BAD_REQUEST:
        raise Refused(_refusal(errand, reply))
    raise Interrupted(f"unexpected status {status}")


def _refusal(errand: Errand, reply: Reply) -> Answer:
    failure = read(ErrorBody, reply.body).error
    kind = errand.operation.kind
    if failure.type == "idempotency_error":
        _alarm("provider knows our key with other parameters", errand, code=failure.type)
        return Unknown(failure.type, look=True)
    if reply.status == HTTPStatus.PAYMENT_REQUIRED or kind is Kind.AUTHORIZE:
        return Declined(failure.reason)
    if kind is Kind.REFUND and failure.code not in _STATE_CODES:
        return Declined(failure.reason)
    if reply.status == HTTPStatus.NOT_FOUND:
        _alarm("provider does not know the payment", errand, code=failure.reason)
    # The intent is not in the state that we took it to be in: see in which it is.
    return Unknown(failure.reason, look=True)


def of_intent(errand: Errand, intent: Intent) -> Answer:
    kind = errand.operation.kind
    if not _is_ours(errand, intent):
        return Unknown("mismatch", look=True)
    if (intent.status, kind) in _DONE:
        return Succeeded(intent.id)
    if intent.status in _NOT_HELD and kind is not Kind.VOID:
        failure = intent.last_payment_error
        return Declined(failure.reason if failure else intent.status)
    if intent.status == "succeeded":
        return Overtaken()
    if intent.status == "requires_capture":
        return Untouched()
    return Unknown(f"intent is {intent.status}"[:100], look=True)


def of_refund(errand: Errand, refund: Refund) -> Answer:
    same = (refund.amount, refund.currency.upper()) == (errand.amount, errand.currency)
    if not same or refund.metadata.get("refund_id") != str(errand.operation.refund_id):
        _alarm("refund is not the one asked for", errand, code="mismatch")
        return Unknown("mismatch", look=True)
    match refund.status:
        case "succeeded":
            return Succeeded(errand.intent_id or "")
        case "failed" | "canceled":
            return Declined(refund.status)
        case _:
            return Unknown(f"refund is {refund.status}"[:100], look=True)


def _is_ours(errand: Errand, intent: Intent) -> bool:
    """Compare what the provider says that it did with what it was asked; alarm if they differ."""
    received = intent.amount_received if intent.status == "succeeded" else errand.amount
    held = intent.amount_capturable if intent.status == "requires_capture" else errand.amount
    same = (
        intent.amount == received == held == errand.amount
        and intent.currency.upper() == errand.currency
        and intent.metadata.get("payment_id") == str(errand.payment_id)
        and errand.intent_id in {None, intent.id}
    )
    if not same:
        _alarm("provider's payment is not the one asked for", errand, code="mismatch")
    return same


def _alarm(message: str, errand: Errand, *, code: str) -> None:
    _log.error(
        message,
        order_id=errand.order_id,
        payment_id=errand.payment_id,
        operation=errand.operation.kind,
        attempt=errand.number,
        code=code,
    )
