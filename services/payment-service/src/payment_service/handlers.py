"""Use cases that come from outside: the provider's answers, and what it tells uncalled."""

from __future__ import annotations

from collections.abc import Sequence

from common import outbox, telemetry
from common.database import Database, Transaction
from common.message import Event, Outcome, Said, Stale
from prometheus_client import Counter

from payment_service.domain.answers import Patience, Report
from payment_service.domain.notice import ALARMING, Notice, Verdict, take_notice
from payment_service.domain.payment import Book, Payment
from payment_service.domain.settling import settle
from payment_service.store import batches, webhooks

_WEBHOOKS = Counter(
    "pedido_payment_webhooks_total", "Webhooks of the provider by what they came to", ("verdict",)
)

_log = telemetry.get_logger()


async def settle_reports(database: Database, reports: Sequence[Report], patience: Patience) -> None:
    """Write what the provider's answers mean, and announce it: both or neither."""
    async with database.transaction() as tx:
        book = await batches.lock_payments(tx, (report.order_id for report in reports))
        said = [each for report in reports for each in _settled(book, report, patience)]
        await batches.save(tx, book)
        await outbox.append(tx, said)


def _settled(book: Book, report: Report, patience: Patience) -> list[Said]:
    payment = book.of(report.order_id)
    outcome = settle(payment, report, patience)
    if isinstance(outcome, Stale):
        _log.info(
            "stale answer",
            order_id=report.order_id,
            operation=report.operation.kind,
            attempt=report.number,
            outcome=type(report.answer).__name__,
            reason=outcome.reason,
        )
        return []
    _fold(book, outcome)
    return [Said(e, cause=payment.cause) for e in outcome.events if isinstance(e, Event)]


def _fold(book: Book, outcome: Outcome) -> None:
    for payment in outcome.changes:
        if isinstance(payment, Payment):
            book.put(payment)


async def take_webhook(
    database: Database, provider: str, event_id: str, kind: str, notice: Notice | None
) -> None:
    """Note an event of the provider and what it makes due: both or neither, and once."""
    async with database.transaction() as tx:
        verdict, changed = await _judge(tx, notice)
        if not await webhooks.add_event(tx, provider, event_id, kind, verdict, notice):
            _WEBHOOKS.labels("DUPLICATE").inc()
            return
        if changed is not None:
            await batches.save(tx, Book({changed.order_id: changed}, {changed.order_id}))
    _WEBHOOKS.labels(verdict).inc()
    _tell(event_id, kind, verdict, notice)


async def _judge(tx: Transaction, notice: Notice | None) -> tuple[Verdict, Payment | None]:
    if notice is None:
        return Verdict.IGNORED, None
    found = await batches.lock_payment(tx, notice.payment_id) if notice.payment_id else None
    if found is None:
        return Verdict.UNKNOWN_PAYMENT, None
    verdict, after = take_notice(found, notice)
    return verdict, after if after != found else None


def _tell(event_id: str, kind: str, verdict: Verdict, notice: Notice | None) -> None:
    write = _log.error if verdict in ALARMING else _log.info
    write(
        "webhook taken",
        event_id=event_id,
        event_type=kind,
        payment_id=notice and notice.payment_id,
        outcome=verdict,
    )
