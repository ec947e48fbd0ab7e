"""Events as Stripe sends them: signed, at least once, in no order, or forged when told to."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

import aiohttp

from devstack.simulator import refusals
from devstack.simulator.ledger import Ledger
from devstack.simulator.moods import Mood, wrong
from devstack.simulator.refusals import Body

_RETRIES = (0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between deliveries that are not answered with 2xx; the real ones go on for days."""
_LATE = 2.0
_STALE = 600
_TIMEOUT = aiohttp.ClientTimeout(total=5)

_TYPES = {
    "requires_capture": "payment_intent.amount_capturable_updated",
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
    "requires_payment_method": "payment_intent.payment_failed",
}


class Manner(StrEnum):
    """How an event comes."""

    ONCE = "once"
    TWICE = "twice"
    """Both at the same time."""
    LATE = "late"
    """Two seconds after the answer."""
    FIRST = "first"
    """Before the answer to the call that caused it."""
    SHUFFLED = "shuffled"
    """After later ones: what comes within two seconds is sent backwards."""
    FORGED = "forged"
    """Signed with another secret."""
    STALE = "stale"
    """Signed ten minutes ago."""
    WRONG_AMOUNT = "wrong-amount"
    """Well signed, and tells of another amount."""
    UNKNOWN = "unknown"
    """Well signed, and about a payment that nobody asked for."""


@dataclass
class Postman:
    """Brings events to the one endpoint that is registered, if any."""

    ledger: Ledger
    url: str | None = None
    secret: str = ""
    manner: Manner = Manner.ONCE
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _held: list[Body] = field(default_factory=list)

    def register(self, wanted: Body) -> None:
        """Send events there from now on: `{"url": "http://…", "secret": "whsec_…"}`.

        `"manner"` is how they come, unless a payment method's token says otherwise.
        """
        try:
            self.manner = Manner(str(wanted.get("manner", Manner.ONCE)))
        except ValueError:
            known = ", ".join(Manner)
            raise refusals.invalid(f"manner must be one of {known}.", param="manner") from None
        self.url, self.secret = wanted.get("url"), str(wanted.get("secret", ""))

    async def tell(self, told: Body, manner: str | None) -> None:
        """Send an event about an object; returns when its cause may be answered."""
        if self.url is None:
            return
        how = Manner(manner) if manner else self.manner
        event = _event(_retold(told, how))
        match how:
            case Manner.FIRST:
                await self._deliver(event, Manner.FIRST)
            case Manner.TWICE:
                self._start(event, Manner.TWICE)
                self._start(event, Manner.TWICE)
            case Manner.SHUFFLED:
                self._held.append(event)
                if len(self._held) == 1:
                    self._spawn(self._send_held())
            case other:
                self._start(event, other)

    def _start(self, event: Body, manner: Manner) -> None:
        self._spawn(self._deliver(event, manner))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send_held(self) -> None:
        await asyncio.sleep(_LATE)
        held, self._held = self._held, []
        for event in reversed(held):
            await self._deliver(event, Manner.SHUFFLED)

    async def _deliver(self, event: Body, manner: Manner) -> None:
        if manner is Manner.LATE:
            await asyncio.sleep(_LATE)
        body = json.dumps(event).encode()
        tries = (0.0,) if manner in {Manner.FORGED, Manner.STALE} else (0.0, *_RETRIES)
        for pause in tries:
            await asyncio.sleep(pause)
            status = await self._post(body, manner)
            self.ledger.note_delivery(event["id"], event["type"], manner, status)
            if 200 <= status < 300:  # noqa: PLR2004  what HTTP calls success
                return

    async def _post(self, body: bytes, manner: Manner) -> int:
        secret = "whsec_forged" if manner is Manner.FORGED else self.secret
        moment = int(time.time()) - (_STALE if manner is Manner.STALE else 0)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": f"t={moment},v1={sign(secret, moment, body)}",
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(str(self.url), data=body, headers=headers) as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0


def sign(secret: str, moment: int, body: bytes) -> str:
    """Sign as Stripe does."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def _retold(told: Body, manner: Manner) -> Body:
    """Tell something else than what happened, if that is the manner."""
    match manner:
        case Manner.WRONG_AMOUNT:
            return wrong(Mood.WRONG_AMOUNT, told)
        case Manner.UNKNOWN:
            return told | {"metadata": {"payment_id": str(uuid4()), "order_id": str(uuid4())}}
        case _:
            return told


def _event(told: Body) -> Body:
    kind = "refund.created" if told["object"] == "refund" else _TYPES[told["status"]]
    return {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "api_version": "2025-01-27.acacia",
        "created": int(time.time()),
        "data": {"object": told},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }
