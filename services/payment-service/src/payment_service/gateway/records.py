"""The provider's own records, read page by page for a comparison with ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

from payment_service.domain.reconciling import IntentTold, RefundTold
from payment_service.gateway.client import Client, Interrupted
from payment_service.gateway.meaning import read
from payment_service.gateway.wire import PAGE, Form, Intent, Page, Refund, own_id

O = TypeVar("O", Intent, Refund)  # noqa: E741  an object of the provider


@dataclass(frozen=True, slots=True)
class Records:
    """Reads lists; raises what the client raises, and Interrupted for a refusal."""

    client: Client

    async def intents(self, since: datetime, until: datetime) -> list[IntentTold]:
        """List the intents that were made in a time."""
        listed = self._listed("/v1/payment_intents", _window(since, until), Page[Intent])
        return [_intent(intent) async for intent in listed]

    async def intent(self, intent_id: str) -> IntentTold | None:
        """Find one intent, if the provider has it."""
        reply = await self.client.get(f"/v1/payment_intents/{intent_id}", {})
        if reply.status == HTTPStatus.NOT_FOUND:
            return None
        if reply.status != HTTPStatus.OK:
            raise Interrupted(f"refused with {reply.status}")
        return _intent(read(Intent, reply.body))

    async def refunds(self, since: datetime, until: datetime) -> list[RefundTold]:
        """List the refunds that were made in a time."""
        return await self._refunds(_window(since, until))

    async def refunds_of(self, intent_id: str) -> list[RefundTold]:
        """List the refunds of one intent."""
        return await self._refunds({"payment_intent": intent_id, "limit": str(PAGE)})

    async def _refunds(self, query: Form) -> list[RefundTold]:
        listed = self._listed("/v1/refunds", query, Page[Refund])
        return [_refund(refund) async for refund in listed if refund.status == "succeeded"]

    async def _listed(self, path: str, query: Form, kind: type[Page[O]]) -> AsyncIterator[O]:
        while True:
            reply = await self.client.get(path, query)
            if reply.status != HTTPStatus.OK:
                raise Interrupted(f"refused with {reply.status}")
            page = read(kind, reply.body)
            for entry in page.data:
                yield entry
            if not page.has_more or not page.data:
                return
            query = {**query, "starting_after": page.data[-1].id}


def _window(since: datetime, until: datetime) -> Form:
    created = {"created[gte]": int(since.timestamp()), "created[lt]": int(until.timestamp()) + 1}
    return {name: str(moment) for name, moment in created.items()} | {"limit": str(PAGE)}


def _intent(intent: Intent) -> IntentTold:
    return IntentTold(
        id=intent.id,
        payment_id=own_id(intent.metadata, "payment_id"),
        status=intent.status,
        amount=intent.amount,
        received=intent.amount_received if intent.status == "succeeded" else 0,
        currency=intent.currency.upper(),
    )


def _refund(refund: Refund) -> RefundTold:
    return RefundTold(
        id=refund.id,
        intent_id=refund.payment_intent or "",
        refund_id=own_id(refund.metadata, "refund_id"),
        amount=refund.amount,
        currency=refund.currency.upper(),
    )
