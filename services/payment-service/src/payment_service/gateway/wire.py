"""Stripe's wire format: forms out, intents, refunds and errors in, all checked by type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from payment_service.domain.answers import Errand
from payment_service.domain.payment import Kind

Form = dict[str, str]
T = TypeVar("T")

PAGE = 100
"""The provider's own limit of a list."""

_ID = r"^[A-Za-z0-9_]{1,255}$"
"""It becomes a part of the next request's path."""


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Failure(_Object):
    """What went wrong, in the provider's words."""

    type: str = ""
    code: str | None = None
    decline_code: str | None = None

    @property
    def reason(self) -> str:
        """Name the most telling code there is."""
        return (self.decline_code or self.code or self.type or "unknown")[:100]


class Intent(_Object):
    """A payment intent."""

    id: Annotated[str, Field(pattern=_ID)]
    status: str
    amount: int
    amount_capturable: int = 0
    amount_received: int = 0
    currency: str
    metadata: dict[str, str]
    last_payment_error: Failure | None = None


class Refund(_Object):
    """A refund."""

    id: Annotated[str, Field(pattern=_ID)]
    payment_intent: str | None = None
    status: str
    amount: int
    currency: str
    metadata: dict[str, str]


class Page(_Object, Generic[T]):
    """A part of a list, the newest first."""

    data: list[T]
    has_more: bool


class ErrorBody(_Object):
    """The body of a refusal."""

    error: Failure


def own_id(metadata: Mapping[str, str], name: str) -> UUID | None:
    """Read an id that we gave an object; None if it is not one of ours."""
    try:
        return UUID(metadata[name]) if name in metadata else None
    except ValueError:
        return None


def request_of(errand: Errand) -> tuple[str, Form]:
    """Write the call that carries the errand out."""
    match errand.operation.kind:
        case Kind.AUTHORIZE:
            return "/v1/payment_intents", _authorisation(errand)
        case Kind.CAPTURE:
            form = {"amount_to_capture": str(errand.amount)}
            return f"/v1/payment_intents/{errand.intent_id}/capture", form
        case Kind.VOID:
            return f"/v1/payment_intents/{errand.intent_id}/cancel", {}
        case Kind.REFUND:
            return "/v1/refunds", {
                "payment_intent": errand.intent_id or "",
                "amount": str(errand.amount),
                **_metadata(errand),
                "metadata[refund_id]": str(errand.operation.refund_id),
            }
        case Kind.LOOK:
            raise ValueError("a look is not a call")


def _authorisation(errand: Errand) -> Form:
    return {
        "amount": str(errand.amount),
        "currency": errand.currency.lower(),
        "payment_method": errand.payment_method,
        "confirm": "true",
        "capture_method": "manual",
        # Nobody is there to answer a bank's question: it is a decline instead.
        "error_on_requires_action": "true",
        **_metadata(errand),
    }


def _metadata(errand: Errand) -> Form:
    return {
        "metadata[order_id]": str(errand.order_id),
        "metadata[payment_id]": str(errand.payment_id),
    }


def window_of(errand: Errand, skew: timedelta) -> Form:
    """Name the time in which the attempt's intent was made, if it was."""
    return {
        "created[gte]": _seconds(errand.called_from - skew),
        "created[lte]": _seconds(errand.called_to + skew),
        "limit": str(PAGE),
    }


def _seconds(moment: datetime) -> str:
    return str(int(moment.timestamp()))
