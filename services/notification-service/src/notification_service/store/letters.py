"""Notices as due rows: leased for an attempt, settled by its outcome."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from common.database import Database, Transaction
from common.due import EVER
from pydantic import TypeAdapter

from notification_service.domain.letters import Customer, Letter, Settlement
from notification_service.domain.notices import Notice, Order
from notification_service.messages import AskedLine, Money, OrderLine

_ORDERED = TypeAdapter(tuple[OrderLine, ...])
_OFFERED = TypeAdapter(tuple[AskedLine, ...])

SENDING_BELL = "sending"
"""Rung when something may have become due."""


BOTTOM = """
    SELECT least(min(created_at), now() - interval '35 seconds') FROM notifications
     WHERE status = 'PENDING'
"""
"""When the first notice that waits was made, due or not: it may be at any moment.

Of those, too, that commit within the 30 s of a transaction: a recipient's later one must not leave
before them.
"""


async def are_letters_due(database: Database, since: datetime = EVER) -> bool:
    """Tell whether there may be something to lease of what was made since then."""
    rows = await database.fetch(
        """
        SELECT FROM notifications
         WHERE status = 'PENDING' AND created_at >= $1 AND due_at <= now()
         ORDER BY created_at, id LIMIT 1
        """,
        since,
    )
    return bool(rows)


async def lease_letters(
    tx: Transaction, limit: int, token: UUID, lease_for: timedelta, since: datetime = EVER
) -> list[Letter]:
    """Lease due notices whose recipient is known, each recipient's in order, oldest first.

    `since` is the bottom: what was made before it is left for later.

    One that follows a notice of the same recipient which is put off, or in another's hands, waits.
    One process leases at a time, so that no two hold letters to the same recipient.
    """
    lease_ends = time.monotonic() + lease_for.total_seconds()
    await _begin_alone(tx)
    await _address(tx)
    rows = await tx.fetch(
        """
        WITH due AS MATERIALIZED (
            SELECT n.id FROM notifications n JOIN customers USING (customer_id)
             WHERE n.status = 'PENDING' AND n.created_at >= $4 AND n.due_at <= now()
               AND NOT EXISTS (SELECT FROM notifications e
                                WHERE e.customer_id = n.customer_id AND e.status = 'PENDING'
                                  AND e.due_at > now()
                                  AND (e.created_at, e.id) < (n.created_at, n.id)
                                ORDER BY e.due_at OFFSET 0)
             ORDER BY n.created_at, n.id LIMIT $1 FOR UPDATE OF n SKIP LOCKED
        ), leased AS (
            UPDATE notifications n
               SET lease_token = $2, due_at = now() + $3, attempt = n.attempt + 1
              FROM due WHERE n.id = due.id
            RETURNING n.*
        )
        SELECT leased.*, now() - leased.owed_at AS age,
               coalesce(a.lines, orders.lines)::text AS lines,
               coalesce(a.total, orders.total) AS total, leased.offer::text AS offered,
               orders.currency AS order_currency, email, name,
               coalesce(p.language, c.language) AS language, coalesce(p.muted, '{}') AS muted
          FROM leased JOIN customers c USING (customer_id) LEFT JOIN orders USING (order_id)
               LEFT JOIN amendments a USING (order_id)
               LEFT JOIN preferences p ON p.customer_id = c.customer_id
        """,
        limit,
        token,
        lease_for,
        since,
    )
    ordered = sorted(rows, key=lambda row: (row["created_at"], row["id"]))
    return [_letter(row, lease_ends) for row in ordered]


async def _begin_alone(tx: Transaction) -> None:
    """Wait for other senders, and let nothing be sorted.

    Then each ORDER BY names its index, and a lease walks until it has enough: a plan made while
    little was pending would read all that is, time and again, when a mail outage has piled it up.
    """
    # By itself: a statement sees what was committed when it began. One that also looked for notices
    # without a recipient would miss those of its wait, and send later ones before them.
    await tx.execute(
        """
        SELECT set_config('enable_sort', 'off', true),
               pg_advisory_xact_lock(hashtext(current_schema || '.letters'))
        """
    )


async def _address(tx: Transaction) -> None:
    """Find the recipients of notices that were committed before, or beside, their order.

    All of them are pending: to say so would offer the planner the index of all that is.
    """
    await tx.execute(
        """
        UPDATE notifications n SET customer_id = o.customer_id
          FROM orders o
         WHERE n.customer_id IS NULL AND o.order_id = n.order_id
        """
    )


def _letter(row: asyncpg.Record, lease_ends: float) -> Letter:
    paid = row["amount"] is not None
    return Letter(
        notice_id=row["id"],
        notice=Notice(
            order_id=row["order_id"],
            kind=row["kind"],
            subject=row["subject"],
            reason=row["reason"],
            money=Money(amount=row["amount"], currency=row["currency"]) if paid else None,
            offer=_offer(row["offered"]),
        ),
        order=_order(row),
        customer=Customer(
            row["customer_id"], row["email"], row["name"], row["language"], frozenset(row["muted"])
        ),
        token=row["lease_token"],
        attempt=row["attempt"],
        age=row["age"],
        lease_ends=lease_ends,
    )


def _order(row: asyncpg.Record) -> Order | None:
    if row["lines"] is None:
        return None
    return Order(
        row["order_id"],
        row["customer_id"],
        _ORDERED.validate_json(row["lines"]),
        Money(amount=row["total"], currency=row["order_currency"]),
    )


def _offer(stored: str | None) -> tuple[AskedLine, ...]:
    return _OFFERED.validate_json(stored) if stored else ()


SETTLE = """
WITH settled AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::interval[],
                         $6::text[]) AS s (id, token, status, error, delay, outcome)
), locked AS MATERIALIZED (
    SELECT id, lease_token, status FROM notifications
     WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
), written AS (
    UPDATE notifications n
       SET status = s.status, error = s.error, due_at = now() + s.delay,
           attempt = n.attempt - (s.outcome IS NULL)::int, lease_token = NULL,
           settled_at = CASE WHEN s.status = 'PENDING' THEN NULL ELSE now() END
      FROM settled s JOIN locked l USING (id)
     WHERE n.id = s.id AND l.lease_token = s.token AND l.status = 'PENDING'
    RETURNING n.id
), logged AS (
    INSERT INTO attempts (notice_id, outcome, code)
    SELECT id, outcome, error FROM settled JOIN written USING (id)
     WHERE outcome IS NOT NULL
)
SELECT id FROM written
"""
"""The status is looked at after the rows are found: an index of all that is pending must not be
what they are found by."""


async def save_settlements(tx: Transaction, settlements: Sequence[Settlement]) -> set[UUID]:
    """Write outcomes and log what was tried, where the lease still stands.

    What was not tried has cost no attempt.
    Answers the notices that were written.
    """
    rows = await tx.fetch(
        SETTLE,
        [settlement.notice_id for settlement in settlements],
        [settlement.token for settlement in settlements],
        [settlement.status for settlement in settlements],
        [settlement.reason for settlement in settlements],
        [settlement.delay for settlement in settlements],
        [settlement.outcome for settlement in settlements],
    )
    return {row["id"] for row in rows}


async def forget_notices(tx: Transaction, older_than: timedelta, *, most: int) -> int:
    """Remove what was settled so long ago, with its attempts; answers how many notices it was."""
    removed: int = await tx.fetchval(
        """
        WITH old AS MATERIALIZED (
            SELECT id FROM notifications
             WHERE created_at < now() - $1::interval AND settled_at < now() - $1::interval
             ORDER BY created_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
        ), log AS (
            DELETE FROM attempts a USING old WHERE a.notice_id = old.id
        ), removed AS (
            DELETE FROM notifications n USING old WHERE n.id = old.id RETURNING n.id
        )
        SELECT count(*) FROM removed
        """,
        older_than,
        most,
    )
    return removed


async def find_bounced(tx: Transaction, digests: Sequence[bytes]) -> set[bytes]:
    """Tell which of these addresses' digests are on the suppression list."""
    rows = await tx.fetch(
        "SELECT digest FROM suppressions WHERE digest = ANY($1::bytea[])", list(digests)
    )
    return {row["digest"] for row in rows}


async def add_suppressions(tx: Transaction, bounced: Mapping[bytes, str]) -> None:
    """Remember, by digest, the addresses that do not exist, and with which code we learned it."""
    await tx.execute(
        """
        INSERT INTO suppressions (digest, code)
        SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING
        """,
        sorted(bounced),
        [bounced[digest] for digest in sorted(bounced)],
    )


async def remove_suppression(tx: Transaction, digest: bytes) -> bool:
    """Forget a bounced address; answers whether there was one."""
    tag = await tx.execute("DELETE FROM suppressions WHERE digest = $1", digest)
    return tag.endswith(" 1")
