"""The provider's events that came by webhook: each counts once."""

from __future__ import annotations

from datetime import timedelta

from common.database import Transaction

from payment_service.domain.notice import Notice, Verdict


async def add_event(
    tx: Transaction,
    provider: str,
    event_id: str,
    kind: str,
    verdict: Verdict,
    notice: Notice | None,
) -> bool:
    """Note an event and what it came to; False if it came before."""
    return bool(
        await tx.fetchval(
            """
            INSERT INTO webhook_events
                   (provider, event_id, type, verdict, payment_id, intent_id, amount, currency)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING true
            """,
            provider,
            event_id,
            kind,
            verdict,
            notice and notice.payment_id,
            notice and notice.intent_id,
            notice and notice.amount,
            notice and notice.currency,
        )
    )


async def forget_events(tx: Transaction, age: timedelta, limit: int) -> int:
    """Drop events that the provider will not send again; alarming ones stay."""
    return int(
        await tx.fetchval(
            """
            WITH old AS (
                SELECT provider, event_id FROM webhook_events
                 WHERE received_at < now() - $1::interval
                   AND verdict NOT IN ('MISMATCH', 'UNEXPLAINED')
                 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED
            ), gone AS (
                DELETE FROM webhook_events e USING old
                 WHERE (e.provider, e.event_id) = (old.provider, old.event_id) RETURNING 1
            )
            SELECT count(*) FROM gone
            """,
            age,
            limit,
        )
    )
