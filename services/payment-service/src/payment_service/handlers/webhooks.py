"""What the provider tells uncalled, compared with our books: an effect at most once."""

from __future__ import annotations

from common import telemetry
from common.database import Database, Transaction
from prometheus_client import Counter

from payment_service.domain.notice import ALARMING, Notice, Verdict, take_notice
from payment_service.domain.payment import Book, Payment
from payment_service.store import batches, webhooks

_WEBHOOKS = Counter(
    "pedido_payment_webhooks_total", "Webhooks of the provider by what they came to", ("verdict",)
)

_log = telemetry.get_logger()


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
