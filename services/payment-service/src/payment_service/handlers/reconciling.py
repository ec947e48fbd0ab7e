"""Comparisons of the provider's list with our payments: asked for, loaded, written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from common import audit, problem, telemetry
from common.database import Database
from common.errors import Refusal
from common.message import uuid7
from prometheus_client import Gauge

from payment_service.domain.notice import ask_now
from payment_service.domain.payment import Book
from payment_service.domain.reconciling import Difference, Told
from payment_service.store import batches, reads, reconciliations, webhooks
from payment_service.store.reconciliations import Books, Run

_AGAIN = timedelta(seconds=30)
"""A provider that is away is not away for long, and nobody waits for a comparison."""
_EARLIER = timedelta(minutes=1)
"""The provider's clock may be behind ours."""
_KEY_KEPT = timedelta(days=1)
"""The provider forgets a key after its first call: no intent is made later than that."""
_OVERDUE = timedelta(minutes=5)
_RUN_OVERDUE = timedelta(hours=1)
_SWEPT = 1000

_DIFFERENCES = Gauge(
    "pedido_payment_differences", "Differences from the provider's list in the last full comparison"
)
_OVERDUE_RUNS = Gauge(
    "pedido_payment_comparisons_overdue",
    "Comparisons with the provider's list that were asked for an hour ago and are not made",
)
_OLD_HOLDS = Gauge(
    "pedido_payment_old_holds", "Authorisations that wait for their capture and come to their end"
)
_OVERDUE_CALLS = Gauge(
    "pedido_payments_overdue",
    "Payments whose operation at the provider began 5 minutes ago and has not ended",
    ("operation",),
)

_log = telemetry.get_logger()


async def reconcile_one(database: Database, payment_id: UUID) -> asyncpg.Record:
    """Ask the provider about one payment now, and have all that it has of it compared."""
    async with database.transaction() as tx:
        payment = await batches.lock_payment(tx, payment_id)
        if payment is None:
            raise Refusal("not_found", problem.MEANINGS["not_found"], status=404)
        made_at, charged_at = await reads.charged_between(tx, payment_id)
        since, until = made_at - _EARLIER, min(charged_at + _KEY_KEPT, tx.now)
        _, asked = ask_now(payment, since, until)
        if asked != payment:
            await batches.save(tx, Book({asked.order_id: asked}, {asked.order_id}))
        return await reconciliations.add_run(tx, uuid7(), since, until, payment_id)


async def reconcile_all(
    database: Database, since: datetime, until: datetime, principal: UUID
) -> asyncpg.Record:
    """Have everything compared that the provider made in a time; noted as an operator's act."""
    async with database.transaction() as tx:
        row = await reconciliations.add_run(tx, uuid7(), since, until)
        target = str(row["run_id"])
        await audit.write(
            tx, principal, "payments.reconcile", target=target, note=None, before={}, after={}
        )
    return row


async def load_books(database: Database, run: Run, told: Told) -> Books:
    async with database.transaction() as tx:
        return await reconciliations.load_books(tx, run, told)


async def finish_run(
    database: Database, run: Run, *, compared: int, in_flux: int, found: Sequence[Difference]
) -> None:
    """Write down what a run found."""
    async with database.transaction() as tx:
        await reconciliations.finish_run(tx, run, compared=compared, in_flux=in_flux, found=found)
    for each in found:
        _log.error(
            "payment differs from the provider's",
            reason=each.reason,
            payment_id=each.payment and each.payment.payment_id,
            order_id=each.payment and each.payment.order_id,
        )


async def postpone_run(database: Database, run: Run) -> None:
    async with database.transaction() as tx:
        await reconciliations.postpone_run(tx, run, _AGAIN)


async def watch_books(
    database: Database, *, every: timedelta, hold_alarm: timedelta, keep: timedelta
) -> int:
    """Ask for the regular comparison, show what is open, forget old webhooks and comparisons."""
    async with database.transaction() as tx:
        await reconciliations.add_regular_run(tx, uuid7(), every)
        _DIFFERENCES.set(await reconciliations.count_open_differences(tx))
        _OVERDUE_RUNS.set(await reconciliations.count_overdue_runs(tx, _RUN_OVERDUE))
        _OLD_HOLDS.set(await reads.count_old_holds(tx, hold_alarm))
        for operation, count in (await reads.count_overdue(tx, _OVERDUE)).items():
            _OVERDUE_CALLS.labels(operation).set(count)
        runs = await reconciliations.forget_runs(tx, keep, _SWEPT)
        return runs + await webhooks.forget_events(tx, keep, _SWEPT)
