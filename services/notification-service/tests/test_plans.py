"""A plan made while there is nothing to send is kept when a mail outage piles letters up."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from common import searching
from common.database import Database, Transaction
from common.due import Bottom
from common.message import uuid7
from notification_service.store import deliveries, letters, reads

from tests.support.plans import analyse, names, plan_of
from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres

MANY = 10_000
LEASE = timedelta(minutes=1)


async def test_settling_finds_its_letters_by_id_and_not_among_all_that_wait(
    database: Database,
) -> None:
    async with database.transaction(by_key=True) as tx:
        await tx.execute(f"PREPARE settle AS {letters.SETTLE}")
        nothing = ", ".join(["NULL"] * 6)
        plan = await tx.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE settle ({nothing})")

    used = set(names(json.loads(plan)[0]["Plan"]))
    assert {name for name in used if name.startswith(("ix_", "pk_"))} == {"pk_notifications"}
    assert "Seq Scan" not in used


async def owe(database: Database, status: str, due_in: timedelta = timedelta()) -> None:
    """Have a letter to each of many customers."""
    async with database.transaction() as tx:
        await tx.execute(
            """
            WITH known AS (
                INSERT INTO customers (customer_id, version, email)
                SELECT gen_random_uuid(), 1, 'ada@example.com' FROM generate_series(1, $1::int)
                RETURNING customer_id
            )
            INSERT INTO notifications (id, order_id, customer_id, kind, subject, reason, message_id,
                                       status, created_at, due_at, settled_at)
            SELECT gen_random_uuid(), gen_random_uuid(), customer_id, 'confirmed', '', '', '',
                   $2::text, clock_timestamp(), now() + $3::interval,
                   CASE WHEN $2 <> 'PENDING' THEN now() END
              FROM known
            """,
            MANY,
            status,
            due_in,
        )


async def rows_read(tx: Transaction, table: str) -> int:
    read: int = await tx.fetchval(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
        " WHERE schemaname = current_schema() AND relname = $1",
        table,
    )
    return read


@pytest.mark.parametrize("before", ["nothing", "much"])
async def test_a_lease_reads_what_it_takes_and_not_all_that_waits(
    database: Database, databases: Databases, before: str
) -> None:
    if before == "much":
        await owe(database, "SENT")
        await analyse(databases.admin_dsn, "notifications.notifications")
    for _ in range(6):  # then its plan is kept
        async with database.transaction() as tx:
            assert await letters.lease_letters(tx, 72, uuid7(), LEASE) == []

    await owe(database, "PENDING", timedelta(minutes=5))
    await owe(database, "PENDING")

    for _ in range(2):
        async with database.transaction() as tx:
            read = await rows_read(tx, "notifications")
            assert len(await letters.lease_letters(tx, 72, uuid7(), LEASE)) == 72
            assert await rows_read(tx, "notifications") - read < 1000
        await analyse(databases.admin_dsn, "notifications.notifications")


async def test_letters_wait_from_the_first_that_is_not_settled_on(database: Database) -> None:
    await owe(database, "SENT")
    await owe(database, "PENDING", timedelta(minutes=5))
    async with database.transaction() as tx:
        first = await tx.fetchval(
            """UPDATE notifications SET created_at = now() - interval '1 hour'
                WHERE id = (SELECT id FROM notifications WHERE status = 'PENDING' LIMIT 1)
            RETURNING created_at"""
        )

    since = await Bottom(letters.BOTTOM).find(database.fetch)

    assert since == first, "put off, it keeps its recipient's later ones"
    assert not await letters.are_letters_due(database, since)
    await owe(database, "PENDING")
    assert await letters.are_letters_due(database, since)
    assert not await letters.are_letters_due(database, since + timedelta(hours=2))


async def test_what_failed_is_found_without_reading_what_was_sent(
    database: Database, databases: Databases
) -> None:
    await owe(database, "SENT")
    await analyse(databases.admin_dsn, "notifications.notifications")

    async with database.transaction() as tx:
        await searching.plan_afresh(tx)
        for status in ("FAILED", "SUPPRESSED"):
            values = (None, None, status, None, None, None, 21)
            plan = await plan_of(tx, reads.LIST_NOTICES, *values)
            assert "ix_notifications_unsent" in plan, plan


async def have_deliveries(tx: Transaction) -> None:
    """Have one endpoint a delivery for each of many orders."""
    await tx.execute(
        """
        WITH added AS (
            INSERT INTO endpoints (endpoint_id, url, description, types, secret)
            VALUES (gen_random_uuid(), '', '', '{}', '') RETURNING endpoint_id
        )
        INSERT INTO deliveries (delivery_id, endpoint_id, order_id, type, subject, payload)
        SELECT gen_random_uuid(), endpoint_id, gen_random_uuid(), 'order.placed', '', ''
          FROM added, generate_series(1, $1::int)
        """,
        MANY,
    )


@pytest.mark.parametrize("before", ["nothing", "much"])
async def test_a_lease_of_deliveries_reads_their_orders_and_no_other(
    database: Database, databases: Databases, before: str
) -> None:
    if before == "much":
        async with database.transaction() as tx:
            await have_deliveries(tx)
            await tx.execute("UPDATE deliveries SET status = 'DELIVERED', settled_at = now()")
        await analyse(databases.admin_dsn, "notifications.deliveries")
    for _ in range(6):
        async with database.transaction() as tx:
            assert await deliveries.lease_deliveries(tx, 72, uuid7(), LEASE) == []

    async with database.transaction() as tx:
        await have_deliveries(tx)

    for _ in range(2):
        async with database.transaction() as tx:
            read = await rows_read(tx, "deliveries")
            leased = await deliveries.lease_deliveries(tx, 72, uuid7(), LEASE)
            assert len(leased) == deliveries.AT_ONCE
            assert await rows_read(tx, "deliveries") - read < 100
            await tx.execute("UPDATE deliveries SET lease_token = NULL, due_at = now()")
        await analyse(databases.admin_dsn, "notifications.deliveries")


async def test_to_hold_an_order_back_reads_no_other(
    database: Database, databases: Databases
) -> None:
    async with database.transaction() as tx:
        await have_deliveries(tx)
        await tx.execute("UPDATE deliveries SET status = 'DELIVERED', settled_at = now()")
    await analyse(databases.admin_dsn, "notifications.deliveries")
    for _ in range(6):
        async with database.transaction() as tx:
            await deliveries.hold_back(tx, [uuid7()])

    async with database.transaction() as tx:
        await have_deliveries(tx)
        put_off = await tx.fetchval("SELECT delivery_id FROM deliveries ORDER BY seq DESC LIMIT 1")

    for _ in range(2):
        async with database.transaction() as tx:
            read = await rows_read(tx, "deliveries")
            await deliveries.hold_back(tx, [put_off])
            assert await rows_read(tx, "deliveries") - read < 10
        await analyse(databases.admin_dsn, "notifications.deliveries")


async def test_what_a_removed_endpoint_leaves_is_deleted_without_reading_the_rest(
    database: Database, databases: Databases
) -> None:
    async with database.transaction() as tx:
        await have_deliveries(tx)
        kept = await tx.fetchval("SELECT endpoint_id FROM endpoints")
        await have_deliveries(tx)
        await tx.execute("UPDATE endpoints SET removed_at = now() WHERE endpoint_id <> $1", kept)

    for _ in range(2):
        async with database.transaction() as tx:
            read = await rows_read(tx, "deliveries")
            assert await deliveries.forget_removed(tx, most=100) == 100
            assert await rows_read(tx, "deliveries") - read < 1000
        await analyse(databases.admin_dsn, "notifications.deliveries", "notifications.endpoints")
