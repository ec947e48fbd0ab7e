"""Authorises, captures, voids and refunds what is due, outside any transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from common import telemetry
from common.database import Database
from common.due import Bottom, DueLoop
from prometheus_client import Counter

from payment_service import handlers
from payment_service.domain.answers import Answer, Declined, Errand, Patience, Postponed, Succeeded
from payment_service.domain.payment import WITHHELD, Kind
from payment_service.gateway.provider import Provider
from payment_service.store.batches import CHARGING_BELL
from payment_service.store.leases import BOTTOM, are_errands_due, lease_errands

LEASE_MARGIN = timedelta(seconds=10)
"""Left of a lease beyond the call's time-out: nobody else may call while we still could."""

_ANSWERS = Counter(
    "pedido_payment_answers_total", "Answers of the provider by class", ("operation", "answer")
)

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, how wide and how long each attempt may be."""

    timeout: timedelta
    lease_for: timedelta
    poll: timedelta
    concurrency: int
    key_life: timedelta
    hold_life: timedelta
    most: Mapping[str, int] = field(default_factory=dict)
    """Currency → the largest amount that is authorised, in minor units; others have no limit."""


@dataclass(frozen=True, slots=True)
class Charger:
    """Takes due payments to the provider and settles what came of it."""

    database: Database
    provider: Provider
    pace: Pace
    patience: Patience
    bottom: Bottom = field(default_factory=partial(Bottom, BOTTOM))

    async def run(self, stop: asyncio.Event) -> None:
        """Charge until told to stop; the calls in hand are finished and settled."""
        loop = DueLoop(
            "charging",
            database=self.database,
            lease=self.lease,
            work=self.work,
            settle=self.settle,
            lease_for=self.pace.lease_for,
            poll=self.pace.poll,
            bell=CHARGING_BELL,
            concurrency=self.pace.concurrency,
            look=self.look,
        )
        async with self.provider.client:
            await loop.run(stop)

    async def look(self) -> bool:
        """Tell whether anything may be due."""
        return await are_errands_due(self.database, await self.bottom.find(self.database.fetch))

    async def lease(
        self, database: Database, limit: int, token: UUID, lease_for: timedelta
    ) -> list[Errand]:
        """Lease due payments."""
        return await lease_errands(
            database,
            limit,
            token,
            lease_for,
            await self.bottom.find(database.fetch),
            key_life=self.pace.key_life,
            hold_life=self.pace.hold_life,
        )

    async def work(self, errand: Errand) -> Answer:
        """Make one attempt, unless the lease may end before the call does."""
        left = errand.lease_ends - time.monotonic()
        if left < (self.pace.timeout + LEASE_MARGIN).total_seconds():
            return Postponed("lease too short", called=False)
        code = _obstacle(errand, self.pace.most)
        if code is not None:
            answer: Answer = Declined(code)
        elif errand.must_look or errand.is_late:
            answer = await self.provider.look(errand)
        else:
            answer = await self.provider.call(errand)
        _report(errand, answer)
        return answer

    async def settle(self, answers: Sequence[tuple[Errand, Answer]]) -> None:
        """Settle answers in one transaction."""
        reports = [errand.report(answer) for errand, answer in answers]
        await handlers.settle_reports(self.database, reports, self.patience)


def _obstacle(errand: Errand, most: Mapping[str, int]) -> str | None:
    """Tell why the provider is not asked, if it never was: after that it may have done it."""
    if errand.payment_method == WITHHELD:
        return "card_number"
    if errand.calls > 1:
        return None
    match errand.operation.kind:
        case Kind.AUTHORIZE if errand.number == 1:
            limit = most.get(errand.currency, errand.amount)
            return "over_limit" if errand.amount > limit else None
        case Kind.CAPTURE if errand.is_late:
            return "authorization_expired"
        case _:
            return None


def _report(errand: Errand, answer: Answer) -> None:
    _ANSWERS.labels(errand.operation.kind, type(answer).__name__).inc()
    if not isinstance(answer, Succeeded):
        _log.warning(
            "payment not done",
            order_id=errand.order_id,
            payment_id=errand.payment_id,
            operation=errand.operation.kind,
            attempt=errand.number,
            outcome=type(answer).__name__,
            reason=getattr(answer, "reason", None) or getattr(answer, "code", None),
        )
