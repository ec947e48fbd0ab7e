"""Carries errands out at the provider, or looks up what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from payment_service.domain.answers import (
    Answer,
    Declined,
    Errand,
    Postponed,
    Succeeded,
    Unknown,
    Untouched,
)
from payment_service.domain.payment import Kind
from payment_service.gateway.breaker import CircuitOpen
from payment_service.gateway.client import Client, Interrupted, Unreachable
from payment_service.gateway.meaning import Refused, accepted, of_intent, of_refund, read
from payment_service.gateway.wire import Form, Intent, Page, Refund, request_of, window_of

O = TypeVar("O", Intent, Refund)  # noqa: E741  an object of the provider

_LOOK_MARGIN = 5.0
"""Seconds of the lease that are left to settle what a look found."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Carries errands out, or looks up what became of them."""

    client: Client
    clock_skew: timedelta
    """How far the provider's clock may be from the database's."""

    async def call(self, errand: Errand) -> Answer:
        """Call with the errand's own key."""
        path, form = request_of(errand)
        try:
            reply = await self.client.post(path, form, errand.key)
            body = accepted(errand, reply)
            if errand.operation.kind is Kind.REFUND:
                answer = of_refund(errand, read(Refund, body))
            else:
                answer = of_intent(errand, read(Intent, body))
        except (CircuitOpen, Unreachable, Interrupted, Refused) as failure:
            return _without_answer(failure)
        not_done = Unknown("accepted and not done", look=True)
        return not_done if isinstance(answer, Untouched) else answer

    async def look(self, errand: Errand) -> Answer:
        """Look for the effect of earlier calls in the provider's own records."""
        try:
            async with asyncio.timeout(errand.lease_ends - time.monotonic() - _LOOK_MARGIN):
                return await self._look(errand)
        except TimeoutError:
            return Unknown("look took too long")
        except (CircuitOpen, Unreachable, Interrupted, Refused) as failure:
            answer = _without_answer(failure)
            # It is the look that was refused, not what is looked for.
            return Unknown(answer.code, look=True) if isinstance(answer, Declined) else answer

    async def _look(self, errand: Errand) -> Answer:
        match errand.operation.kind:
            case Kind.AUTHORIZE | Kind.LOOK:
                return await self._look_for_intent(errand)
            case Kind.CAPTURE | Kind.VOID:
                path = f"/v1/payment_intents/{errand.intent_id}"
                reply = await self.client.get(path, {})
                return of_intent(errand, read(Intent, accepted(errand, reply)))
            case Kind.REFUND:
                return await self._look_for_refund(errand)

    async def _look_for_intent(self, errand: Errand) -> Answer:
        """List by time and compare our metadata: the provider's search lags behind its writes."""
        answer: Answer = Untouched()
        query = window_of(errand, self.clock_skew)
        async for intent in self._listed(errand, "/v1/payment_intents", query, Page[Intent]):
            if intent.metadata.get("payment_id") != str(errand.payment_id):
                continue
            found = of_intent(errand, intent)
            if isinstance(found, Succeeded):
                return found
            answer = found if isinstance(answer, Untouched) else answer
        return answer

    async def _look_for_refund(self, errand: Errand) -> Answer:
        query = {"payment_intent": errand.intent_id or "", "limit": "100"}
        async for refund in self._listed(errand, "/v1/refunds", query, Page[Refund]):
            if refund.metadata.get("refund_id") == str(errand.operation.refund_id):
                return of_refund(errand, refund)
        return Untouched()

    async def _listed(
        self, errand: Errand, path: str, query: Form, kind: type[Page[O]]
    ) -> AsyncIterator[O]:
        while True:
            reply = await self.client.get(path, query)
            page = read(kind, accepted(errand, reply))
            for entry in page.data:
                yield entry
            if not page.has_more or not page.data:
                return
            query = {**query, "starting_after": page.data[-1].id}


def _without_answer(failure: CircuitOpen | Unreachable | Interrupted | Refused) -> Answer:
    match failure:
        case CircuitOpen():
            return Postponed("circuit open", after=failure.after, called=False)
        case Unreachable():
            return Postponed(str(failure), called=False)
        case Interrupted():
            return Unknown(str(failure))
        case _:
            return failure.answer
