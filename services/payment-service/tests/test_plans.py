"""Among many payments a list and a comparison read those that they show, and no others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from common import searching
from common.database import Transaction
from common.due import EVER, Bottom
from payment_service.store import leases, reads, reconciliations

from tests.support.cashier import Cashier
from tests.support.plans import analyse, filling, plan_of
from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres

MANY = 50_000
NOW = datetime.now(UTC)
ID = UUID(int=7)


async def fill(databases: Databases) -> None:
    """Have half a day of payments, five of each customer; the last thousand are on their way."""
    async with filling(databases.admin_dsn, "payments") as admin:
        await admin.execute(
            """
            INSERT INTO payments (order_id, payment_id, customer_id, wanted, have, intent_id,
                                  operation, next_at, created_at)
            SELECT gen_random_uuid(), gen_random_uuid(), md5((n % 10000)::text)::uuid, 'CAPTURED',
                   'AUTHORIZED', 'pi_' || n, w.operation, w.next_at,
                   now() - make_interval(secs => n)
              FROM generate_series(1, $1::int) AS n
              LEFT JOIN (VALUES ('CAPTURE', now())) AS w (operation, next_at) ON n < 1000
            """,
            MANY,
        )
    await analyse(databases.admin_dsn, "payments.payments")


LISTED: list[tuple[dict[str, Any], str]] = [
    ({}, "ix_payments_created_at"),
    ({"created_from": NOW - timedelta(hours=1)}, "ix_payments_created_at"),
    ({"order_id": ID}, "pk_payments"),
    ({"owner": ID}, "ix_payments_customer"),
    ({"owner": ID, "have": "DECLINED"}, "ix_payments_customer"),
    ({"owner": ID, "created_to": NOW}, "ix_payments_customer"),
    ({"owner": ID, "after": NOW}, "ix_payments_customer"),
]
FILTERS = ("owner", "order_id", "have", "created_from", "created_to", "after")


async def test_no_list_reads_everybodys_payments(cashier: Cashier, databases: Databases) -> None:
    await fill(databases)

    async with cashier.database.transaction() as tx:
        await searching.plan_afresh(tx)
        for wanted, index in LISTED:
            values = [wanted.get(name) for name in FILTERS]
            plan = await plan_of(tx, reads.LIST_PAYMENTS, *values, ID, 21)
            assert index in plan, (wanted, plan)
            assert "Seq Scan" not in plan, (wanted, plan)


async def test_no_comparison_reads_payments_that_it_is_not_about(
    cashier: Cashier, databases: Databases
) -> None:
    await fill(databases)
    of_one = ([ID], [], ID, NOW - timedelta(days=1), NOW, NOW)
    of_all = ([ID], ["pi_5000"], None, NOW - timedelta(minutes=1), NOW, NOW)

    async with cashier.database.transaction() as tx:
        one = await plan_of(tx, reconciliations.LOAD_BOOKS, *of_one)
        every = await plan_of(tx, reconciliations.LOAD_BOOKS, *of_all)

    assert "Seq Scan" not in one | every, (one, every)
    assert {"ix_payments_intent", "ix_payments_created_at"} <= every


async def pages_read(tx: Transaction, since: datetime) -> int:
    """Count the pages that a look for due payments reads."""
    answer = await tx.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {leases.DUE}", since)
    plan = json.loads(answer)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_no_look_reads_what_a_forgotten_transaction_keeps(
    cashier: Cashier, databases: Databases
) -> None:
    forgetful = await asyncpg.connect(databases.admin_dsn)
    await forgetful.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await forgetful.fetch("SELECT FROM pg_class LIMIT 1")
    await cashier.rows(
        """
        INSERT INTO payments (order_id, payment_id, wanted, have, operation, next_at)
        SELECT gen_random_uuid(), gen_random_uuid(), 'CAPTURED', 'NONE', 'AUTHORIZE',
               now() - make_interval(secs => 60 + n)
          FROM generate_series(1, 20000) AS n
        """
    )
    await cashier.rows("UPDATE payments SET next_at = NULL, operation = NULL")

    async with cashier.database.transaction(by_key=True) as tx:
        since = await Bottom(leases.BOTTOM).find(tx.fetch)
        assert await pages_read(tx, EVER) > 100
        assert await pages_read(tx, since) < 10
    await forgetful.close()
