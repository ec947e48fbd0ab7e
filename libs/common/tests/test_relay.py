"""The relay against a real Postgres and a real broker."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
import till
from aiokafka import AIOKafkaConsumer
from common import outbox
from common.database import Database
from common.dead_letter import dead_letter
from common.errors import Poison
from common.message import Said, uuid7
from common.parked import failure_of
from common.relay import _TURN, BatchBuilder, Relay, _append, _Owned, _usual_text
from common.settings import KafkaSettings
from typing_extensions import override

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.kafka import Topics

LAST_ID = "SELECT last_value FROM outbox_id_seq"

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


@pytest.fixture
def kafka(topics: Topics) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap_servers=topics.bootstrap, topic_prefix=topics.prefix)


@pytest_asyncio.fixture
async def inventory_topic(topics: Topics) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topics.name("inventory.v1"),
        topics.name("inventory-service.dlt"),
        bootstrap_servers=topics.bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    yield consumer
    await consumer.stop()


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    yield
    stop.set()
    await task


async def announce(database: Database, *orders: UUID) -> None:
    async with database.transaction() as tx:
        await outbox.append(tx, [Said(till.StockCommitted(order_id=order)) for order in orders])


async def read(consumer: AIOKafkaConsumer, count: int) -> list[tuple[bytes | None, str]]:
    """Read so many records; answers key and ce_id, in order per key."""
    found: list[tuple[bytes | None, str]] = []

    async def poll() -> bool:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            found.extend((r.key, dict(r.headers)["ce_id"].decode()) for r in records)
        return len(found) >= count

    await eventually(poll)
    return found


async def empty(admin: Admin) -> bool:
    return await admin.fetchval("SELECT count(*) FROM outbox") == 0


async def test_rows_reach_the_broker_and_are_gone(
    database: Database, admin: Admin, kafka: KafkaSettings, inventory_topic: AIOKafkaConsumer
) -> None:
    orders = [uuid7() for _ in range(1200)]
    await announce(database, *orders)

    async with relaying(Relay(database, kafka)):
        records = await read(inventory_topic, 1200)
        await eventually(lambda: empty(admin))

    assert sorted(key for key, _ in records if key) == sorted(str(o).encode() for o in orders)
    ends = await inventory_topic.end_offsets(inventory_topic.assignment())
    assert sum(ends.values()) == 1200, "the statement that deletes them must not read them again"


async def test_the_events_of_one_key_stay_in_order(
    database: Database, kafka: KafkaSettings, inventory_topic: AIOKafkaConsumer
) -> None:
    order = uuid7()
    said = [Said(till.StockCommitted(order_id=order)) for _ in range(1500)]
    async with database.transaction() as tx:
        await outbox.append(tx, said)

    async with relaying(Relay(database, kafka)):
        records = await read(inventory_topic, 1500)

    assert [event_id for _, event_id in records] == [str(each.event_id) for each in said]


async def test_a_plan_made_while_the_outbox_is_empty_suits_a_backlog(database: Database) -> None:
    connection = await database.connect_direct()
    try:
        await connection.execute(f"PREPARE turn AS {_TURN}")
        plan = await connection.fetch("EXPLAIN EXECUTE turn (0, '{1}', '{}', 500, '{1}', 0)")
    finally:
        await connection.close()

    nodes = "\n".join(row[0] for row in plan)
    assert nodes.count("Index Scan using pk_outbox") == 2
    assert "Seq Scan" not in nodes


async def test_a_late_commit_is_not_lost_where_a_plain_cursor_loses_it(
    database: Database, admin: Admin, kafka: KafkaSettings, inventory_topic: AIOKafkaConsumer
) -> None:
    early, late = uuid7(), uuid7()
    cursor = 0
    async with relaying(Relay(database, kafka)):
        async with database.transaction() as slow:
            await outbox.append(slow, [Said(till.StockCommitted(order_id=late))])
            for _ in range(3):  # higher ids commit, are relayed, and the floor has reason to move
                await announce(database, early)
                await read(inventory_topic, 1)
                cursor = max(cursor, await admin.fetchval(LAST_ID))
        records = await read(inventory_topic, 1)

    assert records[0][0] == str(late).encode()
    late_id = await admin.fetchval(LAST_ID) - 3
    assert late_id < cursor, "a cursor at the highest id seen would never look at the late row"


async def test_a_row_that_the_broker_refuses_blocks_its_key_alone(
    database: Database, admin: Admin, kafka: KafkaSettings, inventory_topic: AIOKafkaConsumer
) -> None:
    sick, well = uuid7(), uuid7()
    noise = secrets.token_bytes(3_000_000)
    huge = outbox.OutboxRow(
        uuid7(), "inventory.v1", str(sick).encode(), "StockCommitted", noise, []
    )
    async with database.transaction() as tx:
        await outbox.insert(tx, [huge])
    await announce(database, sick, well)

    async with relaying(Relay(database, kafka)):
        records = await read(inventory_topic, 1)
        await announce(database, well)
        records += await read(inventory_topic, 1)

    assert [key for key, _ in records] == [str(well).encode()] * 2
    waiting = await admin.fetch("SELECT refused FROM outbox ORDER BY id")
    assert [row["refused"] is None for row in waiting] == [False, True]


HOSTILE: dict[str, dict[str, Any]] = {
    "a name of bad bytes": {"headers": {b"\xff" * 600_000: b"x"}},
    "names of bad bytes": {"headers": {b"\xff" * 20 + b"%d" % n: b"" for n in range(30_000)}},
    "much from a small batch": {"value": bytes(8_000_000)},
    "many headers from a small batch": {"headers": {b"%d" % n: b"" for n in range(300_000)}},
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
async def test_a_dead_letter_leaves_whatever_came(
    hostile: dict[str, Any], database: Database, admin: Admin, kafka: KafkaSettings
) -> None:
    record = till.record(uuid7(), **hostile)
    async with database.transaction() as tx:
        failure = failure_of(Poison(), tx.now)
        await outbox.insert(tx, [dead_letter(record, failure, group="inventory-service")])

    async with relaying(Relay(database, kafka)):
        await eventually(lambda: empty(admin))


def test_a_header_s_name_that_is_no_text_gets_no_longer_and_no_long_one_is_remembered() -> None:
    names = [b"caf\xc3\xa9 \xff\xfe", b"x" * 1000]
    row: Any = dict.fromkeys(("aggregateid", "payload"), b"")
    row |= {"header_names": names, "header_values": [b"", b""]}
    batch = BatchBuilder(10_000, 0)
    _usual_text.cache_clear()

    assert _append(batch, row)

    assert _usual_text.cache_info().currsize == 1
    assert "café ??".encode() in batch._build()


async def test_rows_that_others_go_on_appending_do_not_keep_the_relay_from_stopping(
    database: Database, admin: Admin, kafka: KafkaSettings, inventory_topic: AIOKafkaConsumer
) -> None:
    class AmongOthers(Relay):
        @override
        async def _carry(self, owned: _Owned) -> int:
            await announce(database, uuid7())
            return await super()._carry(owned)

    stop = asyncio.Event()
    task = asyncio.create_task(AmongOthers(database, kafka).run(stop))
    await announce(database, *[uuid7() for _ in range(1200)])
    await read(inventory_topic, 1)
    stop.set()

    await asyncio.wait_for(task, 10)

    assert await empty(admin), "what is sent is deleted, and all that was announced before is sent"


async def test_a_producer_that_does_not_stop_leaves_nothing_running(
    database: Database, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.relay._STOP_TIMEOUT", 0.5)
    relay = Relay(database, kafka)
    producer = await relay._ready_producer()
    topic = f"{kafka.topic_prefix}inventory.v1"
    await producer.send_and_wait(topic, b"")
    for connection in producer.client._conns.values():
        connection._writer.transport.pause_reading()  # so no answer comes any more
    await producer.send(topic, b"")
    await eventually(lambda: producer._sender._in_flight)

    await relay._drop_producer()

    assert producer._sender.sender_task.done()
    assert not any(each.connected() for each in producer.client._conns.values())


async def test_a_second_relay_takes_over_when_the_first_dies(
    database: Database, kafka: KafkaSettings, inventory_topic: AIOKafkaConsumer
) -> None:
    first = asyncio.create_task(Relay(database, kafka).run(asyncio.Event()))
    await announce(database, uuid7())
    await read(inventory_topic, 1)

    async with relaying(Relay(database, kafka)):
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await announce(database, uuid7())
        await read(inventory_topic, 1)
