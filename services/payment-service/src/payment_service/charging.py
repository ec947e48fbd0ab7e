"""Authorises, captures, voids and refunds what is due, outside any transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from common import telemetry
from common.database import Database
from common.due import DueLoop
from prometheus_client import Counter

from payment_service import handlers
from payment_service.domain.answers import Answer, Declined, Errand, Patience, Postponed, Succeeded
from payment_service.domain.payment import Kind
from payment_service.gateway.provider import Provider
from payment_service.store.batches import CHARGING_BELL
from payment_service.store.leases import lease_errands

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
    most: Mapping[str, int] = field(default_factory=dict)
    """Currency → the largest amount that is authorised, in minor units; others have no limit."""


@dataclass(frozen=True, slots=True)
class Charger:
    """Takes due payments to the provider and settles what came of it."""

    database: Database
    provider: Provider
    pace: Pace
    patience: Patience

    async def run(self, stop: asyncio.Event) -> None:
        """Charge until told to stop; the calls in hand are finished and settled."""
        loop = DueLoop(
            "charging",
            database=self.database,
            lease=partial(lease_errands, key_life=self.pace.key_life),
            work=self.work,
            settle=self.settle,
            lease_for=self.pace.lease_for,
            poll=self.pace.poll,
            bell=CHARGING_BELL,
            concurrency=self.pace.concurrency,
        )
        async with self.provider.client:
            await loop.run(stop)

    async def work(self, errand: Errand) -> Answer:
        """Make one attempt, unless the lease may end before the call does."""
        left = errand.lease_ends - time.monotonic()
        if left < (self.pace.timeout + LEASE_MARGIN).total_seconds():
            return Postponed("lease too short", called=False)
        if _is_too_much(errand, self.pace.most):
            answer: Answer = Declined("over_limit")
        elif errand.must_look:
            answer = await self.provider.look(errand)
        else:
            answer = await self.provider.call(errand)
        _report(errand, answer)
        return answer

    async def settle(self, answers: Sequence[tuple[Errand, Answer]]) -> None:
        """Settle answers in one transaction."""
        reports = [errand.report(answer) for errand, answer in answers]
        await handlers.settle_reports(self.database, reports, self.patience)


def _is_too_much(errand: Errand, most: Mapping[str, int]) -> bool:
    """Decline before the first call alone: after it, the provider may hold the money already."""
    first = errand.operation.kind is Kind.AUTHORIZE and (errand.number, errand.calls) == (1, 1)
    return first and errand.amount > most.get(errand.currency, errand.amount)


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
