"""The relay's floor: it rises past what is dead, and never past what may still commit."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import till
from common import outbox
from common.floor import Floor
from common.message import Said, uuid7
from common.relay import _LOOK_AT_WRITERS, Relay, _Owned
from common.settings import KafkaSettings

if TYPE_CHECKING:
    import asyncpg
    from common.database import Database

    from tests.support.kafka import Topics

LAST_ID = "SELECT last_value FROM outbox_id_seq"


def test_it_waits_until_all_have_ended_who_may_commit_below_it() -> None:
    floor = Floor()

    floor.look(9, ["3/7", "4/1"])
    floor.observe(None, ceiling=None)
    floor.look(12, ["4/1", "5/2"])  # who began since then draws higher ids
    floor.observe(None, ceiling=None)
    assert floor.value == 0
    floor.look(15, ["5/2"])
    floor.observe(6, ceiling=None)

    assert floor.value == 5, "the row that appeared below the highest id is still to be carried"


def test_it_stays_below_a_refused_row() -> None:
    floor = Floor()

    floor.look(9, [])
    floor.observe(None, ceiling=8)

    assert floor.value == 7


@asynccontextmanager
async def carrying(database: Database, topics: Topics) -> AsyncIterator[tuple[Relay, _Owned]]:
    """Have a relay that makes its rounds when it is told to."""
    relay = Relay(
        database,
        KafkaSettings(kafka_bootstrap_servers=topics.bootstrap, topic_prefix=topics.prefix),
    )
    owned = _Owned(await database.connect_direct(), set(range(outbox.SHARDS)))
    try:
        yield relay, owned
    finally:
        await relay._drop_producer()
        await owned.connection.close()


async def announce(database: Database) -> None:
    async with database.transaction() as tx:
        await outbox.append(tx, [Said(till.StockCommitted(order_id=uuid7()))])


async def carry(relay: Relay, owned: _Owned) -> int:
    """Make so many rounds that the floor has risen, where it may; answers the rows."""
    return sum([await relay._carry(owned) for _ in range(3 * _LOOK_AT_WRITERS)])


@pytest.mark.postgres
@pytest.mark.kafka
async def test_it_stays_below_the_id_of_a_transaction_that_has_not_ended(
    database: Database, admin: asyncpg.Connection[asyncpg.Record], topics: Topics
) -> None:
    async with carrying(database, topics) as (relay, owned):
        async with database.transaction() as slow:
            await outbox.append(slow, [Said(till.StockCommitted(order_id=uuid7()))])
            late = await admin.fetchval(LAST_ID)
            await announce(database)
            assert await carry(relay, owned) == 1
            assert owned.floor.value < late
        assert await carry(relay, owned) == 1
        assert owned.floor.value == await admin.fetchval(LAST_ID)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_session_that_forgot_its_transaction_does_not_hold_it(
    database: Database, admin: asyncpg.Connection[asyncpg.Record], topics: Topics
) -> None:
    async with carrying(database, topics) as (relay, owned), admin.transaction():
        await admin.fetchval("SELECT pg_current_xact_id()")
        await announce(database)

        assert await carry(relay, owned) == 1

        assert owned.floor.value == await admin.fetchval(LAST_ID)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_what_commits_late_below_a_refused_row_of_its_key_is_carried(
    database: Database, topics: Topics
) -> None:
    order = uuid7()
    key = str(order).encode()
    noise = secrets.token_bytes(3_000_000)
    huge = outbox.OutboxRow(uuid7(), "inventory.v1", key, "StockCommitted", noise, [])
    async with carrying(database, topics) as (relay, owned):
        async with database.transaction() as slow:
            await outbox.append(slow, [Said(till.StockCommitted(order_id=order))])
            async with database.transaction() as tx:
                await outbox.insert(tx, [huge])
            await carry(relay, owned)
            await relay._keep_up(owned)
            assert owned.blocked.keys() == {key}

        assert await carry(relay, owned) == 1
