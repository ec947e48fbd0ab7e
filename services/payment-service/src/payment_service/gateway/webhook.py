"""Stripe's webhooks: who signed the bytes, and what they tell."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from payment_service.domain.notice import Notice
from payment_service.gateway.wire import own_id

_MOMENT = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_MOST_SIGNATURES = 16
"""Stripe sends one for each live secret, which is two at most."""
_LAST_MOMENT = 253_402_300_799
"""The end of the year 9999: a later one is no date."""

_HOLDING = frozenset({"requires_capture", "succeeded"})


class Forged(Exception):
    """The signature is missing, not ours, or not of now; the message says which."""


def verify(
    header: str, body: bytes, secrets: Sequence[SecretStr], *, now: datetime, tolerance: timedelta
) -> None:
    """Pass if one of the secrets signed exactly these bytes a moment ago; raises Forged.

    The signed text is `timestamp.body`; the event's id, which makes it count once, is in the body.
    """
    moment, given = _read(header)
    signed = f"{moment}.".encode() + body
    # Every pair is compared, whatever was found, so that time tells nothing.
    matches = [
        hmac.compare_digest(signature, _sign(secret, signed))
        for secret in secrets
        for signature in given
    ]
    if not any(matches):
        raise Forged("no secret of ours made this signature")
    if abs(now.timestamp() - moment) > tolerance.total_seconds():
        raise Forged("signed too long ago, or in the future")


def _read(header: str) -> tuple[int, list[str]]:
    """Read `t=1700000000,v1=…[,v1=…]`; other schemes than v1 are passed over."""
    pairs = [part.strip().partition("=")[::2] for part in header.split(",", _MOST_SIGNATURES)]
    moments = [value for name, value in pairs if name == "t"]
    given = [value for name, value in pairs if name == "v1" and _SIGNATURE.fullmatch(value)]
    if len(moments) != 1 or not _MOMENT.fullmatch(moments[0]) or not given:
        raise Forged("no signature that can be read")
    return int(moments[0]), given


def _sign(secret: SecretStr, signed: bytes) -> str:
    return hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


_Name = Annotated[str, Field(min_length=1, max_length=255)]
_Moment = Annotated[int, Field(ge=0, le=_LAST_MOMENT)]
_Amount = Annotated[int, Field(ge=0, le=2**63 - 1)]


class _Told(_Object):
    """What an intent and a refund have in common."""

    id: _Name
    amount: _Amount
    currency: Annotated[str, Field(pattern=r"^[A-Za-z]{3}$")]
    created: _Moment
    status: str
    metadata: dict[str, str]


class _IntentTold(_Told):
    object: Literal["payment_intent"]


class _RefundTold(_Told):
    object: Literal["refund"]
    payment_intent: _Name


class _Data(_Object):
    object: dict[str, Any]


class Envelope(_Object):
    """An event of the provider, whatever it is about."""

    id: _Name
    type: _Name
    data: _Data


_TOLD: TypeAdapter[_IntentTold | _RefundTold] = TypeAdapter(
    Annotated[_IntentTold | _RefundTold, Field(discriminator="object")]
)


def notice_of(event: Envelope) -> Notice | None:
    """Read what an event tells of a payment; None if it is about anything else.

    Raises pydantic's ValidationError for an intent or a refund that is not like the provider's.
    """
    if event.data.object.get("object") not in {"payment_intent", "refund"}:
        return None
    told = _TOLD.validate_python(event.data.object)
    is_refund = isinstance(told, _RefundTold)
    return Notice(
        event_id=event.id,
        type=event.type,
        intent_id=told.payment_intent if isinstance(told, _RefundTold) else told.id,
        payment_id=own_id(told.metadata, "payment_id"),
        order_id=own_id(told.metadata, "order_id"),
        refund_id=own_id(told.metadata, "refund_id"),
        amount=told.amount,
        currency=told.currency.upper(),
        holds_money=not is_refund and told.status in _HOLDING,
        is_refund=is_refund,
        created_at=datetime.fromtimestamp(told.created, UTC),
    )
