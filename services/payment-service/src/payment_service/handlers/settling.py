"""What the provider's answers mean for our books, written and announced together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from common import outbox, telemetry
from common.database import Database
from common.message import Event, Outcome, Said, Stale

from payment_service.domain.answers import Patience, Report
from payment_service.domain.payment import Book, Payment
from payment_service.domain.settling import settle
from payment_service.store import batches

_log = telemetry.get_logger()


async def settle_reports(database: Database, reports: Sequence[Report], patience: Patience) -> None:
    """Write what the provider's answers mean, and announce it: both or neither."""
    async with database.transaction(by_key=True) as tx:
        book = await batches.lock_known(tx, {report.order_id for report in reports})
        said = [each for report in reports for each in _settled(book, report, patience)]
        await batches.save(tx, book)
        await outbox.append(tx, said)


def _settled(book: Book, report: Report, patience: Patience) -> list[Said]:
    payment = book.payments.get(report.order_id)
    if payment is None:
        return _stale(report, "there is no such order")
    drawn = replace(patience, luck=random.random())  # noqa: S311  spreads load, guards nothing
    outcome = settle(payment, report, drawn)
    if isinstance(outcome, Stale):
        return _stale(report, outcome.reason)
    _fold(book, outcome)
    return [Said(e, cause=payment.cause) for e in outcome.events if isinstance(e, Event)]


def _stale(report: Report, reason: str) -> list[Said]:
    _log.info(
        "stale answer",
        order_id=report.order_id,
        operation=report.operation.kind,
        attempt=report.number,
        outcome=type(report.answer).__name__,
        reason=reason,
    )
    return []


def _fold(book: Book, outcome: Outcome) -> None:
    for payment in outcome.changes:
        if isinstance(payment, Payment):
            book.put(payment)
