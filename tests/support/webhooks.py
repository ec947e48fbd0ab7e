"""Webhooks as the provider makes them, or as a forger would."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from itertools import count
from typing import Any
from uuid import UUID, uuid5

SECRET = "whsec_of_the_tests_only"
OLD_SECRET = "whsec_that_is_replaced"
PATH = "/payments/webhooks/stripe"

_numbers = count(1)


def signature(body: bytes, secret: str = SECRET, moment: float | None = None) -> str:
    """Sign as Stripe does, now unless told when."""
    stamp = int(time.time() if moment is None else moment)
    signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={signed}"


def headers(body: bytes, secret: str = SECRET, moment: float | None = None) -> dict[str, str]:
    """Make the headers of a signed request."""
    return {
        "Stripe-Signature": signature(body, secret, moment),
        "Content-Type": "application/json; charset=utf-8",
    }


def intent_event(
    order_id: UUID, *, status: str = "requires_capture", event_id: str | None = None, **told: Any
) -> bytes:
    """Tell of an intent of an order's payment, as it is unless told what differs."""
    intent = {
        "id": "pi_told",
        "object": "payment_intent",
        "amount": 2208,
        "currency": "gbp",
        "created": int(time.time()),
        "status": status,
        "metadata": {"order_id": str(order_id), "payment_id": str(uuid5(order_id, "payment"))},
    }
    return event("payment_intent.amount_capturable_updated", intent | told, event_id)


def event(kind: str, told: dict[str, Any], event_id: str | None = None) -> bytes:
    """Wrap what is told."""
    return json.dumps(
        {
            "id": event_id or f"evt_test_{time.time_ns()}_{next(_numbers)}",
            "object": "event",
            "type": kind,
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": told},
        }
    ).encode()
