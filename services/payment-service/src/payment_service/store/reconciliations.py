"""Runs that compare the provider's list with our payments, and what they found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from common.database import Database, Transaction
from common.errors import Contended

from payment_service.domain.payment import Payment
from payment_service.domain.reconciling import Difference, Told
from payment_service.store.batches import payments_of

RECONCILING_BELL = "reconciling"
"""Rung when a run was asked for."""


@dataclass(frozen=True, slots=True)
class Run:
    """One comparison, leased: of one payment, or of all that moved in a time."""

    run_id: UUID
    payment_id: UUID | None
    from_at: datetime
    to_at: datetime
    started_at: datetime
    """What was changed since may differ while it is on its way."""
    token: UUID
    lease_ends: float


@dataclass(frozen=True, slots=True)
class Books:
    """Our side of a comparison."""

    at_rest: list[Payment]
    in_flux: frozenset[UUID]


async def add_run(
    tx: Transaction, run_id: UUID, since: datetime, until: datetime, payment_id: UUID | None = None
) -> asyncpg.Record:
    """Ask for a run; of one payment, the one that waits already is as good."""
    await tx.execute(
        """
        INSERT INTO reconciliations (run_id, payment_id, from_at, to_at, next_at)
        VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING
        """,
        run_id,
        payment_id,
        since,
        until,
    )
    tx.ring(RECONCILING_BELL)
    row = await tx.fetchrow(
        """
        SELECT * FROM reconciliations WHERE run_id = $1
            OR (payment_id = $2 AND finished_at IS NULL) LIMIT 1
        """,
        run_id,
        payment_id,
    )
    if row is None:
        raise Contended  # the run that was there has just ended
    return row


async def add_regular_run(tx: Transaction, run_id: UUID, every: timedelta) -> None:
    """Ask for a run over everything since the last regular one, when that is long enough ago.

    The last minutes are left to the next one: what they hold is still on its way.
    """
    await tx.execute(
        """
        INSERT INTO reconciliations (run_id, regular, from_at, to_at, next_at)
        SELECT $1, true, coalesce(max(to_at), now() - $2::interval),
               now() - interval '5 minutes', now()
          FROM reconciliations WHERE regular
        HAVING coalesce(max(created_at) < now() - $2::interval, true)
           AND coalesce(max(to_at), now() - $2::interval) < now() - interval '5 minutes'
        """,
        run_id,
        every,
    )


async def are_runs_due(database: Database) -> bool:
    """Tell whether there may be something to lease."""
    (row,) = await database.fetch(
        "SELECT EXISTS (SELECT FROM reconciliations WHERE next_at <= now()) AS due"
    )
    return bool(row["due"])


async def lease_runs(
    db: Database | Transaction, limit: int, token: UUID, lease_for: timedelta
) -> list[Run]:
    """Lease runs that are due."""
    lease_ends = time.monotonic() + lease_for.total_seconds()
    rows = await db.fetch(
        """
        WITH due AS MATERIALIZED (
            SELECT run_id FROM reconciliations WHERE next_at <= now()
             ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        UPDATE reconciliations AS r SET lease_token = $2, next_at = now() + $3
          FROM due WHERE r.run_id = due.run_id
        RETURNING r.run_id, r.payment_id, r.from_at, r.to_at, now() AS started_at
        """,
        limit,
        token,
        lease_for,
    )
    return [Run(**row, token=token, lease_ends=lease_ends) for row in rows]


LOAD_BOOKS = """
    SELECT order_id, payment_id, operation IS NULL AND updated_at < $6 AS at_rest
      FROM payments
     WHERE payment_id = ANY($1::uuid[]) OR payment_id = $3
        OR (intent_id = ANY($2::text[]) AND operation IS NULL)
        OR ($3::uuid IS NULL AND intent_id IS NOT NULL AND created_at >= $4 AND created_at < $5)
"""


async def load_books(tx: Transaction, run: Run, told: Told) -> Books:
    """Read the payments that the provider told of, and those of the run that it did not."""
    rows = await tx.fetch(
        LOAD_BOOKS,
        [intent.payment_id for intent in told.intents if intent.payment_id],
        [refund.intent_id for refund in told.refunds],
        run.payment_id,
        run.from_at,
        run.to_at,
        run.started_at,
    )
    at_rest = await payments_of(tx, [row["order_id"] for row in rows if row["at_rest"]])
    in_flux = frozenset(row["payment_id"] for row in rows if not row["at_rest"])
    return Books(list(at_rest.values()), in_flux)


async def finish_run(
    tx: Transaction, run: Run, *, compared: int, in_flux: int, found: Sequence[Difference]
) -> None:
    """Write down what a run found, unless its lease went to another worker."""
    mine = await tx.fetchval(
        """
        UPDATE reconciliations
           SET finished_at = now(), next_at = NULL, lease_token = NULL, compared = $3, in_flux = $4
         WHERE run_id = $1 AND lease_token = $2 RETURNING true
        """,
        run.run_id,
        run.token,
        compared,
        in_flux,
    )
    if not mine:
        return
    await tx.execute(
        """
        INSERT INTO reconciliation_differences
               (run_id, reason, payment_id, order_id, provider_id, ours, theirs)
        SELECT $1, n.* FROM unnest($2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                                   $7::text[]) AS n
        """,
        run.run_id,
        [each.reason for each in found],
        [each.payment and each.payment.payment_id for each in found],
        [each.payment and each.payment.order_id for each in found],
        [each.provider_id for each in found],
        [each.ours for each in found],
        [each.theirs for each in found],
    )


async def postpone_run(tx: Transaction, run: Run, delay: timedelta) -> None:
    """Give a run back that could not be made."""
    await tx.execute(
        "UPDATE reconciliations SET next_at = now() + $3, lease_token = NULL "
        "WHERE run_id = $1 AND lease_token = $2",
        run.run_id,
        run.token,
        delay,
    )


async def forget_runs(tx: Transaction, age: timedelta, limit: int) -> int:
    """Drop runs that ended so long ago, but for the last regular one: the next goes on from it."""
    return int(
        await tx.fetchval(
            """
            WITH last AS (
                SELECT run_id FROM reconciliations WHERE regular AND finished_at IS NOT NULL
                 ORDER BY finished_at DESC LIMIT 1
            ), old AS (
                SELECT run_id FROM reconciliations
                 WHERE finished_at < now() - $1::interval AND run_id NOT IN (SELECT * FROM last)
                 ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
            ), lines AS (
                DELETE FROM reconciliation_differences d USING old WHERE d.run_id = old.run_id
            ), gone AS (
                DELETE FROM reconciliations r USING old WHERE r.run_id = old.run_id RETURNING 1
            )
            SELECT count(*) FROM gone
            """,
            age,
            limit,
        )
    )


async def count_overdue_runs(tx: Transaction, age: timedelta) -> int:
    """Count the runs that were asked for so long ago and are not made."""
    return int(
        await tx.fetchval(
            "SELECT count(*) FROM reconciliations "
            "WHERE finished_at IS NULL AND created_at < now() - $1::interval",
            age,
        )
    )


async def find_run(tx: Transaction, run_id: UUID) -> asyncpg.Record | None:
    """Find a run with the number of its differences."""
    return await tx.fetchrow(
        """
        SELECT r.*, (SELECT count(*) FROM reconciliation_differences d WHERE d.run_id = r.run_id)
                    AS differences
          FROM reconciliations r WHERE r.run_id = $1
        """,
        run_id,
    )


async def list_differences(
    tx: Transaction, run_id: UUID, *, after: int, limit: int
) -> list[asyncpg.Record]:
    """Read a page of what a run found, from just past the last one shown."""
    return await tx.fetch(
        """
        SELECT id, reason, payment_id, order_id, provider_id, ours, theirs
          FROM reconciliation_differences WHERE run_id = $1 AND id > $2 ORDER BY id LIMIT $3
        """,
        run_id,
        after,
        limit,
    )


async def count_open_differences(tx: Transaction) -> int:
    """Count what the last regular run found; one that was asked for may be of a minute."""
    return int(
        await tx.fetchval(
            """
            SELECT count(*) FROM reconciliation_differences WHERE run_id = (
                SELECT run_id FROM reconciliations
                 WHERE regular AND finished_at IS NOT NULL
                 ORDER BY finished_at DESC LIMIT 1)
            """
        )
    )
