"""The provider's own messages: signed bytes in, an effect at most once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from common import strict_json, telemetry
from common.errors import Refusal
from common.http import Router, Wire
from common.openapi import refuses
from fastapi import Depends, Request
from prometheus_client import Counter
from pydantic import SecretStr, ValidationError

from payment_service import handlers
from payment_service.api.parts import DatabaseOf
from payment_service.domain.notice import Notice
from payment_service.gateway.webhook import Envelope, Forged, notice_of, verify

PROBLEMS = {
    "invalid_signature": "Sign the exact bytes of the body with the endpoint's secret, just now.",
}

UNLIMITED = ("/payments/webhooks/stripe",)
"""Every event of the provider comes from a few addresses, and a check costs less than a refusal
that makes it come again."""

router = Router(tags=["webhooks"])

_REFUSED = Counter(
    "pedido_payment_webhooks_refused_total", "Webhooks that changed nothing", ("reason",)
)

_log = telemetry.get_logger()

_EVENT_SCHEMA = {
    "type": "object",
    "required": ["id", "type", "data"],
    "properties": {
        "id": {"type": "string"},
        "type": {"type": "string"},
        "data": {"type": "object", "properties": {"object": {"type": "object"}}},
    },
}


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """Which secrets sign the provider's webhooks; without one, nobody is believed."""

    secrets: tuple[SecretStr, ...]
    """The one in use and, while it is being replaced, the one before."""
    tolerance: timedelta


def _keys_of(request: Request) -> WebhookKeys:
    keys: WebhookKeys = request.app.state.webhook_keys
    return keys


class Received(Wire):
    """All that a provider wants to know."""

    received: Literal[True] = True


@router.post(
    "/payments/webhooks/{provider}",
    responses=refuses(invalid_signature=401),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _EVENT_SCHEMA}},
        },
        "parameters": [
            {
                "name": "Stripe-Signature",
                "in": "header",
                "required": True,
                "description": "`t=` seconds since 1970, `v1=` HMAC-SHA256 of `t.body` in hex",
                "schema": {"type": "string"},
            }
        ],
    },
)
async def take_webhook(
    provider: Literal["stripe"],
    request: Request,
    keys: Annotated[WebhookKeys, Depends(_keys_of)],
    database: DatabaseOf,
) -> Received:
    """Take an event of the provider; one that came before is answered alike and does nothing."""
    body = await request.body()
    headers = request.headers.getlist("stripe-signature")
    _check_signature(headers, body, keys)
    event, notice = _read(body)
    await handlers.take_webhook(database, provider, event.id, event.type, notice)
    return Received()


def _check_signature(headers: list[str], body: bytes, keys: WebhookKeys) -> None:
    header = headers[0] if len(headers) == 1 else ""
    now = datetime.now(UTC)
    try:
        verify(header, body, keys.secrets, now=now, tolerance=keys.tolerance)
    except Forged as error:
        _REFUSED.labels("signature").inc()
        _log.warning("webhook not believed", reason=str(error))
        detail = PROBLEMS["invalid_signature"]
        raise Refusal("invalid_signature", detail, status=401) from None


def _read(body: bytes) -> tuple[Envelope, Notice | None]:
    """Read what is signed; what can't be read is refused, so that the provider sends it again."""
    try:
        event = Envelope.model_validate(strict_json.parse(body))
        return event, notice_of(event)
    except ValidationError:
        detail = "The event is not like the provider's."
        raise _unreadable("validation_failed", detail, status=422) from None
    except ValueError:
        raise _unreadable("malformed_json", "The body is not usable JSON.", status=400) from None


def _unreadable(code: str, detail: str, *, status: int) -> Refusal:
    _REFUSED.labels("unreadable").inc()
    _log.error("a signed webhook can't be read", code=code)
    return Refusal(code, detail, status=status)
