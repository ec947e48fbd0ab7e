"""The inbox's partitions, beside others who use the table."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg
import pytest
from common import inbox
from common.database import Database

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = pytest.mark.postgres

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'inbox'::regclass"
LAPSED = """
CREATE TABLE inbox_20200101 PARTITION OF inbox
    FOR VALUES FROM (uuid7_floor('2020-01-01')) TO (uuid7_floor('2020-01-02'));
ALTER TABLE inbox_20200101 OWNER TO inventory_owner;
"""


async def ensure(database: Database) -> bool:
    async with database.transaction() as tx:
        return await inbox.ensure_partitions(tx)


async def partitions(admin: Admin) -> set[str]:
    return {row[0] for row in await admin.fetch(PARTITIONS)}


async def test_partitions_are_made_while_a_dump_reads_them_and_dropped_after_it(
    database: Database, admin: Admin
) -> None:
    usual = await partitions(admin)
    await admin.execute(LAPSED)
    await admin.execute(f"DROP TABLE {max(usual)}")

    async with admin.transaction():
        await admin.execute("SELECT FROM inbox")
        assert not await ensure(database)
    meanwhile = await partitions(admin)
    assert await ensure(database)

    assert meanwhile == {*usual, "inbox_20200101"}
    assert await partitions(admin) == usual
