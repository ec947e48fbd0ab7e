"""What is set aside: found by indexes, kept for a time, and forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import pytest
from common import parked, repair, replay
from common.database import Database
from common.repair import ParkedFilter
from common.sweeper import forgetting

from tests.support.plans import analyse, plan_of

if TYPE_CHECKING:
    from tests.support.postgres import Databases

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = pytest.mark.postgres

ROWS = """
INSERT INTO parked (seq, topic, partition, "offset", header_names, header_values, digest,
                    recorded_at, state, next_at, error_class, error)
SELECT 0, 'orders.v1', 0, n, '{}', '{}', '', now(), ($1::text[])[1 + n % cardinality($1)],
       now() - make_interval(mins => n), 'Poison', ''
  FROM generate_series(1, $2::int) AS n
"""


async def test_what_was_set_aside_long_ago_is_forgotten_and_nothing_else(
    database: Database, admin: Admin
) -> None:
    states = ["retry", "dead", "skipped", "discarded"]
    await admin.execute(ROWS, states, 8)
    await admin.execute("UPDATE parked SET next_at = now() - interval '91 days' WHERE id > 4")

    async with database.transaction() as tx:
        assert await parked.forget(tx, timedelta(days=90), most=1) == 1
    loop = forgetting(database, timedelta(days=90))
    assert [await loop.sweep() for _ in range(2)] == [1, 0]

    left = await admin.fetch("SELECT state FROM parked ORDER BY state")
    assert [row["state"] for row in left] == [
        "dead",
        "dead",
        "discarded",
        "retry",
        "retry",
        "skipped",
    ]


async def test_what_is_moved_aside_again_is_kept_from_then_on(
    database: Database, admin: Admin
) -> None:
    await admin.execute(ROWS, ["discarded"], 1)
    await admin.execute(
        """
        UPDATE parked SET (parked_at, failed_at, next_at) = (SELECT at, at, at
          FROM (SELECT now() - interval '91 days' AS at) AS long_ago)
        """
    )
    async with database.transaction() as tx:
        await repair.move(tx, "restore", 1)

    async with database.transaction() as tx:
        assert await parked.forget(tx, timedelta(days=90), most=1) == 0


async def test_what_is_set_aside_is_paged_and_forgotten_by_indexes(
    database: Database, admin: Admin, empty_databases: Databases
) -> None:
    await admin.execute(ROWS, ["skipped"], 20_000)
    await analyse(empty_databases.admin_dsn, "inventory.parked")

    async with database.transaction() as tx:
        page = await plan_of(tx, replay.NEXT, *ParkedFilter().arguments, 20_000, 0, 9_000, 10)
        old = await plan_of(tx, parked.FORGET, timedelta(days=13), 1000)

    assert "ix_parked_replayable" in page
    assert not {"Sort", "Seq Scan"} & page
    assert "ix_parked_aside" in old
    assert "Seq Scan" not in old
