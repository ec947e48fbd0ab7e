"""Compares the provider's list with our payments, outside any transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from common import telemetry
from common.database import Database
from common.due import DueLoop
from common.errors import Contended, Unavailable

from payment_service import handlers
from payment_service.domain.payment import Payment, RefundStatus
from payment_service.domain.reconciling import Difference, Told, differences
from payment_service.gateway.breaker import CircuitOpen
from payment_service.gateway.client import Interrupted, Unreachable
from payment_service.gateway.records import Records
from payment_service.store.reconciliations import (
    RECONCILING_BELL,
    Books,
    Run,
    are_runs_due,
    lease_runs,
)

_LEASE = timedelta(minutes=10)
"""Enough for a hundred thousand payments; a killed process holds a run for as long."""
_MARGIN = 10.0
"""Seconds of the lease that are left to write down what was found."""
_POLL = timedelta(seconds=1)
"""The bell is not heard from another process, and whoever asks for a payment waits."""

_LATER = (CircuitOpen, Unreachable, Interrupted, Contended, Unavailable, TimeoutError)
"""What is worth another try."""

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Findings:
    """What one run came to."""

    compared: int
    in_flux: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Makes the runs that were asked for."""

    database: Database
    records: Records

    async def run(self, stop: asyncio.Event) -> None:
        """Compare until told to stop, one run at a time."""
        loop = DueLoop(
            "reconciling",
            database=self.database,
            lease=lease_runs,
            work=self.work,
            settle=self.settle,
            lease_for=_LEASE,
            poll=_POLL,
            bell=RECONCILING_BELL,
            concurrency=1,
            look=partial(are_runs_due, self.database),
        )
        async with self.records.client:
            await loop.run(stop)

    async def work(self, run: Run) -> Findings | None:
        """Compare; None when provider or database do not answer, which is tried again."""
        try:
            async with asyncio.timeout(run.lease_ends - time.monotonic() - _MARGIN):
                return await self._compare(run)
        except _LATER as error:
            _log.warning("reconciliation waits", reason=type(error).__name__)
            return None

    async def settle(self, results: Sequence[tuple[Run, Findings | None]]) -> None:
        """Write down what was found."""
        for run, found in results:
            if found is None:
                await handlers.postpone_run(self.database, run)
                continue
            await handlers.finish_run(
                self.database,
                run,
                compared=found.compared,
                in_flux=found.in_flux,
                found=found.differences,
            )

    async def _compare(self, run: Run) -> Findings:
        intents = await self.records.intents(run.from_at, run.to_at)
        refunds = [] if run.payment_id else await self.records.refunds(run.from_at, run.to_at)
        told = Told(tuple(i for i in intents if run.payment_id in {None, i.payment_id}), ())
        told = Told(told.intents, tuple(refunds))
        books = await handlers.load_books(self.database, run, told)
        told = await self._completed(books, told)
        found = differences(books.at_rest, told)
        return Findings(len(books.at_rest), len(books.in_flux), tuple(found))

    async def _completed(self, books: Books, told: Told) -> Told:
        """Ask for what lies outside the run's time, and leave out what is still moving."""
        intents = {i.id: i for i in told.intents if i.payment_id not in books.in_flux}
        refunds = {r.id: r for r in told.refunds}
        seen = {r.refund_id for r in told.refunds}
        for payment in books.at_rest:
            if payment.intent_id is None:
                continue
            if payment.intent_id not in intents:
                intent = await self.records.intent(payment.intent_id)
                intents |= {intent.id: intent} if intent else {}
            if not seen.issuperset(_returned(payment)):
                refunds |= {r.id: r for r in await self.records.refunds_of(payment.intent_id)}
        return Told(tuple(intents.values()), tuple(refunds.values()))


def _returned(payment: Payment) -> set[object]:
    return {r.refund_id for r in payment.refunds if r.status is RefundStatus.SUCCEEDED}
