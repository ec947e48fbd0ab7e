"""What the gateway answers when it does not do what was asked, in Stripe's words."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


class Refusal(Exception):
    """An answer other than 200: its status and Stripe's error body."""

    def __init__(self, status: int, kind: str, message: str, **details: object) -> None:
        """Take the details as Stripe names them: code, param, decline_code, payment_intent."""
        super().__init__(message)
        self.status = status
        self.retry_after: int | None = None
        self.body: Body = {"error": {"type": kind, "message": message, **details}}


def invalid(message: str, *, status: int = 400, **details: object) -> Refusal:
    """Refuse a request that can't be carried out as it is."""
    return Refusal(status, "invalid_request_error", message, **details)


def missing_parameter(name: str) -> Refusal:
    """Refuse a request that lacks a parameter."""
    return invalid(f"Missing required param: {name}.", code="parameter_missing", param=name)


def unknown_object(kind: str, identity: str, *, param: str) -> Refusal:
    """Refuse to find what does not exist."""
    message = f"No such {kind}: '{identity}'"
    return invalid(message, status=404, code="resource_missing", param=param)


def unexpected_state(message: str, intent: Body) -> Refusal:
    """Refuse what an intent's status does not allow."""
    code = "payment_intent_unexpected_state"
    return invalid(message, code=code, payment_intent=intent)


def declined(decline_code: str, intent: Body) -> Refusal:
    """Say that the bank said no."""
    return Refusal(
        402,
        "card_error",
        "Your card was declined.",
        code="card_declined",
        decline_code=decline_code,
        payment_intent=intent,
    )


def broken() -> Refusal:
    """Fail without having done anything."""
    return Refusal(500, "api_error", "An unknown error occurred; the request had no effect.")


def busy(*, retry_after: int | None) -> Refusal:
    """Refuse for so many seconds, or without a word of when, and without having done anything."""
    refusal = Refusal(429, "rate_limit_error", "Too many requests.", code="rate_limit")
    refusal.retry_after = retry_after
    return refusal


def wrong_key() -> Refusal:
    """Refuse a caller who is not known."""
    return invalid("Invalid API Key provided.", status=401)


def key_reused(key: str) -> Refusal:
    """Refuse other parameters under a key that was used before."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first "
        f"used with. Try using a key other than '{key}' if you meant to make another request."
    )
    return Refusal(400, "idempotency_error", message)


def key_in_use(key: str) -> Refusal:
    """Refuse a request whose twin is still being answered."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably "
        f"means you submitted twice, and the other request is still going through): {key}."
    )
    return Refusal(409, "idempotency_error", message, code="idempotency_key_in_use")
