"""Deliveries to merchants' endpoints as due rows: leased for an attempt, settled by its outcome."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
from common.database import Database, Transaction

from notification_service.domain.deliveries import Delivery, Settlement
from notification_service.domain.happenings import Happening

Row: TypeAlias = asyncpg.Record

WEBHOOK_BELL = "webhooks"
"""Rung when a delivery may have become due."""

AT_ONCE = 8
"""Deliveries in hand for one endpoint: a slow one must not take every connection."""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which of an endpoint's deliveries are asked for."""

    endpoint_id: UUID
    status: str | None = None
    order_id: UUID | None = None


async def add_deliveries(tx: Transaction, happened: Sequence[Happening]) -> None:
    """Owe what happened to every endpoint that wants it and was there when it did."""
    await tx.execute(
        """
        INSERT INTO deliveries (delivery_id, endpoint_id, order_id, type, subject, payload)
        SELECT gen_random_uuid(), endpoint_id, order_id, type, subject, payload
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
               WITH ORDINALITY AS h (order_id, type, subject, payload, occurred_at, place)
               JOIN endpoints e ON e.created_at <= h.occurred_at
         WHERE e.status = 'ACTIVE' AND (cardinality(e.types) = 0 OR h.type = ANY(e.types))
         ORDER BY place
            ON CONFLICT DO NOTHING
        """,
        [each.order_id for each in happened],
        [each.type for each in happened],
        [each.subject for each in happened],
        [each.payload for each in happened],
        [each.occurred_at for each in happened],
    )


async def are_deliveries_due(database: Database) -> bool:
    """Tell whether there may be something to lease."""
    (row,) = await database.fetch(
        """
        SELECT EXISTS (SELECT FROM endpoints JOIN deliveries d USING (endpoint_id)
                        WHERE endpoints.status = 'ACTIVE' AND d.status = 'PENDING'
                          AND d.due_at <= now()) AS due
        """
    )
    return bool(row["due"])


async def lease_deliveries(
    db: Database | Transaction, limit: int, token: UUID, lease_for: timedelta
) -> list[Delivery]:
    """Lease what is due: of each order and endpoint the first alone, of each endpoint a few.

    An endpoint that fails is tried with one at a time, and not before its rest is over. What comes
    first is found by its order, not by its status: an index of all that is pending is short until
    a backlog fills it.
    """
    lease_ends = time.monotonic() + lease_for.total_seconds()
    rows = await db.fetch(
        """
        WITH due AS MATERIALIZED (
            SELECT d.delivery_id FROM endpoints e CROSS JOIN LATERAL (
                SELECT d.delivery_id, d.due_at FROM deliveries d
                 WHERE d.endpoint_id = e.endpoint_id AND d.status = 'PENDING'
                   AND d.due_at <= now()
                   AND NOT EXISTS (SELECT FROM deliveries p
                                    WHERE p.endpoint_id = d.endpoint_id
                                      AND p.order_id = d.order_id AND p.settled_at IS NULL
                                      AND p.seq < d.seq)
                 ORDER BY d.due_at
                 LIMIT greatest(0, CASE WHEN e.failing_since IS NULL THEN $4::int ELSE 1 END
                                   - (SELECT count(*) FROM deliveries l
                                       WHERE l.endpoint_id = e.endpoint_id
                                         AND l.status = 'PENDING' AND l.lease_token IS NOT NULL
                                         AND l.due_at > now()))
                   FOR UPDATE OF d SKIP LOCKED
            ) d
             WHERE e.status = 'ACTIVE' AND (e.held_until IS NULL OR e.held_until <= now())
             ORDER BY d.due_at LIMIT $1
        )
        UPDATE deliveries d
           SET lease_token = $2, due_at = now() + $3, attempt = d.attempt + 1
          FROM due, endpoints e
         WHERE d.delivery_id = due.delivery_id AND e.endpoint_id = d.endpoint_id
        RETURNING d.delivery_id, d.endpoint_id, d.payload, d.attempt, e.url, e.secret,
                  CASE WHEN e.old_secret_until > now() THEN e.old_secret END AS old_secret
        """,
        limit,
        token,
        lease_for,
        AT_ONCE,
    )
    return [_delivery(row, token, lease_ends) for row in rows]


def _delivery(row: Row, token: UUID, lease_ends: float) -> Delivery:
    return Delivery(
        delivery_id=row["delivery_id"],
        endpoint_id=row["endpoint_id"],
        url=row["url"],
        sealed_secrets=tuple(filter(None, (row["secret"], row["old_secret"]))),
        payload=row["payload"],
        attempt=row["attempt"],
        token=token,
        lease_ends=lease_ends,
    )


async def save_settlements(tx: Transaction, settlements: Sequence[Settlement]) -> set[UUID]:
    """Write outcomes where the lease still stands; answers the deliveries that were written.

    What was not tried has cost no attempt.
    """
    ordered = sorted(settlements, key=lambda settlement: settlement.delivery_id)
    rows = await tx.fetch(
        """
        WITH outcome AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::interval[], $5::text[])
                       AS o (delivery_id, token, status, delay, outcome)
        ), locked AS MATERIALIZED (
            SELECT d.delivery_id FROM deliveries d JOIN outcome o USING (delivery_id)
             WHERE d.lease_token = o.token AND d.status = 'PENDING'
             ORDER BY d.delivery_id FOR UPDATE OF d
        )
        UPDATE deliveries d
           SET status = o.status, due_at = now() + o.delay, lease_token = NULL,
               attempt = d.attempt - (o.outcome IS NULL)::int,
               settled_at = CASE WHEN o.status = 'PENDING' THEN NULL ELSE now() END
          FROM outcome o JOIN locked USING (delivery_id)
         WHERE d.delivery_id = o.delivery_id
        RETURNING d.delivery_id
        """,
        [settlement.delivery_id for settlement in ordered],
        [settlement.token for settlement in ordered],
        [settlement.status for settlement in ordered],
        [settlement.delay for settlement in ordered],
        [settlement.outcome for settlement in ordered],
    )
    return {row["delivery_id"] for row in rows}


async def hold_back(tx: Transaction, put_off: Sequence[UUID]) -> None:
    """Let what follows these of the same order and endpoint be due with them, and not before.

    It can't be delivered sooner, and every lease would look at all of it again. It is found by its
    order, not by its status, as for a lease.
    """
    await tx.execute(
        """
        WITH put_off AS MATERIALIZED (
            SELECT endpoint_id, order_id, seq, due_at FROM deliveries
             WHERE delivery_id = ANY($1::uuid[])
        )
        UPDATE deliveries f SET due_at = greatest(f.due_at, p.due_at)
          FROM put_off p
         WHERE f.endpoint_id = p.endpoint_id AND f.order_id = p.order_id AND f.seq > p.seq
           AND f.settled_at IS NULL AND f.lease_token IS NULL
        """,
        put_off,
    )


async def add_attempts(tx: Transaction, settlements: Sequence[Settlement]) -> None:
    """Note in the delivery log what was tried, what was answered, and how long it took."""
    await tx.execute(
        """
        INSERT INTO delivery_attempts (delivery_id, outcome, status_code, latency_ms)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[])
        """,
        [settlement.delivery_id for settlement in settlements],
        [settlement.outcome for settlement in settlements],
        [settlement.status_code for settlement in settlements],
        [round(settlement.latency.total_seconds() * 1000) for settlement in settlements],
    )


async def list_deliveries(
    tx: Transaction, wanted: DeliveryFilter, *, before: int | None, limit: int
) -> list[Row]:
    """List an endpoint's deliveries, newest first."""
    return await tx.fetch(
        """
        SELECT * FROM deliveries
         WHERE endpoint_id = $1 AND ($2::text IS NULL OR status = $2)
           AND ($3::uuid IS NULL OR order_id = $3) AND ($4::bigint IS NULL OR seq < $4)
         ORDER BY seq DESC LIMIT $5
        """,
        wanted.endpoint_id,
        wanted.status,
        wanted.order_id,
        before,
        limit,
    )


async def find_delivery(tx: Transaction, delivery_id: UUID) -> Row | None:
    """Find a delivery with the state of its endpoint."""
    return await tx.fetchrow(
        """
        SELECT d.*, e.status AS endpoint_status
          FROM deliveries d JOIN endpoints e USING (endpoint_id)
         WHERE delivery_id = $1 AND removed_at IS NULL
        """,
        delivery_id,
    )


async def list_attempts(tx: Transaction, delivery_id: UUID) -> list[Row]:
    """List what was tried, oldest first; of what is sent again for ever, the newest."""
    return await tx.fetch(
        """
        SELECT at, outcome, status_code, latency_ms FROM (
            SELECT * FROM delivery_attempts
             WHERE delivery_id = $1 ORDER BY attempt_id DESC LIMIT 500
        ) newest ORDER BY attempt_id
        """,
        delivery_id,
    )


async def make_due(tx: Transaction, delivery_id: UUID) -> None:
    """Make a delivery due now as if it were new, unless it is just being tried.

    What follows it of the same order, and was only held back, no longer waits for its time.
    """
    await tx.execute(
        """
        WITH again AS (
            UPDATE deliveries
               SET status = 'PENDING', attempt = 0, due_at = now(), settled_at = NULL,
                   lease_token = NULL
             WHERE delivery_id = $1 AND (status <> 'PENDING' OR lease_token IS NULL)
            RETURNING endpoint_id, order_id, seq
        )
        UPDATE deliveries f SET due_at = now()
          FROM again a
         WHERE f.endpoint_id = a.endpoint_id AND f.order_id = a.order_id AND f.seq > a.seq
           AND f.settled_at IS NULL AND f.lease_token IS NULL AND f.attempt = 0
        """,
        delivery_id,
    )


async def forget_deliveries(tx: Transaction, older_than: timedelta, *, most: int) -> int:
    """Remove what was settled so long ago; answers how many it was."""
    tag = await tx.execute(
        """
        DELETE FROM deliveries WHERE delivery_id IN (
            SELECT delivery_id FROM deliveries
             WHERE settled_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED)
        """,
        older_than,
        most,
    )
    return int(tag.rpartition(" ")[2])


async def forget_removed(tx: Transaction, *, most: int) -> int:
    """Delete what was or was to be sent to removed endpoints; answers how many it was."""
    tag = await tx.execute(
        """
        DELETE FROM deliveries WHERE delivery_id = ANY(ARRAY(
            SELECT d.delivery_id FROM endpoints e CROSS JOIN LATERAL (
                SELECT delivery_id FROM deliveries WHERE endpoint_id = e.endpoint_id
                 ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED
            ) d
             WHERE e.removed_at IS NOT NULL LIMIT $1))
        """,
        most,
    )
    return int(tag.rpartition(" ")[2])
