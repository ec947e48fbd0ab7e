"""The consumer against a real broker and a real database."""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import asyncpg
import httpx2
import prometheus_client
import pytest
import till
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from common import unpacking
from common.consumer import Consumer, _Records
from common.database import Database
from common.dead_letter import Record
from common.health import Health
from common.http import create_app
from common.message import Outcome, Stale, uuid7
from common.process import check_flood
from common.relay import Relay
from common.settings import KafkaSettings, ServiceSettings
from common.sweeper import Sweeper
from typing_extensions import override

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from common.due import Loop

    from tests.support.kafka import Topics
    from tests.support.postgres import Databases

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

PLACE = "SELECT next_offset FROM positions WHERE topic = 'orders.v1' AND \"partition\" = 0"
COUNTED = "SELECT count(*) FROM till WHERE n = 1"


class Name(str):
    """A header's name that goes to the wire as these bytes, text or not."""

    __slots__ = ("raw",)

    @override
    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def name_of(raw: bytes) -> Name:
    name = Name(raw.decode("latin-1"))
    name.raw = raw
    return name


async def produce(
    topics: Topics, records: Sequence[Record], timestamp: int | None = None, partition: int = 0
) -> None:
    """Send all in one batch to one partition, names and values to the byte."""
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap)
    await producer.start()
    batch = producer.create_batch()
    # aiokafka's own builder in C takes text alone.
    batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 4_000_000)
    for each in records:
        headers = [(name_of(name), value) for name, value in each.headers]
        batch.append(timestamp=timestamp, key=each.key, value=each.value, headers=headers)
    batch.close()
    await (await producer.send_batch(batch, topics.name("orders.v1"), partition=partition))
    await producer.stop()


def kafka_of(topics: Topics, **changed: Any) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap_servers=topics.bootstrap,
        topic_prefix=topics.prefix,
        **{"retry_first_delay": timedelta(0), **changed},
    )


@asynccontextmanager
async def running(*loops: Loop) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for loop in loops:
            tasks.create_task(loop.run(stop))
        try:
            yield
        finally:
            stop.set()


def till_consumer(
    database: Database, topics: Topics, rule: till.Rule = till.count, **changed: Any
) -> Consumer[till.Till]:
    kafka = kafka_of(topics, **changed)
    return Consumer(till.subscription(rule), database=database, kafka=kafka)


def failing_for(*bad: UUID) -> till.Rule:
    def rule(state: till.Till, event: till.OrderConfirmed) -> Outcome | Stale:
        if event.order_id in bad:
            message = "a bug for this order alone"
            raise LookupError(message)
        return till.count(state, event)

    return rule


async def taken(admin: Admin, consumer: Consumer[till.Till], topics: Topics, offset: int) -> None:
    """Wait until the database and the group stand there, with nothing left to read."""
    partition = TopicPartition(topics.name("orders.v1"), 0)

    async def there() -> bool:
        client = consumer._client
        return (
            await admin.fetchval(PLACE) == offset
            and client is not None
            and await client.committed(partition) == offset
            and await consumer._measure_lag() == 0
        )

    await eventually(there)


def bad_record(kind: str) -> Record:
    order = uuid7()
    usual = till.record(order)
    value = usual.value or b""
    records = {
        "a header name that is not UTF-8": replace(
            usual, headers=[*usual.headers, (b"\xff\xfe", b"x")]
        ),
        "a header value that is not UTF-8": till.record(order, headers={b"ce_id": b"\xff"}),
        "no Avro": replace(usual, value=value[:5] + b"\xff" * 40),
        "a truncated frame": replace(usual, value=value[:20]),
        "no key": replace(usual, key=None),
        "no value": replace(usual, value=None),
        "values that can't be": replace(usual, value=value.replace(str(order).encode(), b"z" * 36)),
        "a megabyte": replace(usual, value=value + bytes(1_000_000)),
        "a key that no index takes": replace(
            usual, key=secrets.token_bytes(3000), value=b"\x00\x7f\xff\xff\xff rest"
        ),
        "an unknown schema": replace(usual, value=b"\x00\x7f\xff\xff\xff rest"),
        "another topic's type": till.record(order, headers={b"ce_type": b"StockReserved"}),
    }
    return records[kind]


@asynccontextmanager
async def letters(topics: Topics) -> AsyncIterator[AIOKafkaConsumer]:
    reader = AIOKafkaConsumer(
        topics.name("inventory-service.dlt"),
        bootstrap_servers=topics.bootstrap,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4_000_000,
    )
    await reader.start()
    yield reader
    await reader.stop()


@pytest.mark.parametrize(
    "kind",
    [
        "a header name that is not UTF-8",
        "a header value that is not UTF-8",
        "no Avro",
        "a truncated frame",
        "no key",
        "no value",
        "values that can't be",
        "a megabyte",
        "a key that no index takes",
    ],
)
async def test_a_poison_record_ends_alone_in_the_dead_letter_topic(
    kind: str, database: Database, admin: Admin, topics: Topics
) -> None:
    good = [till.record(uuid7()) for _ in range(4)]
    bad = bad_record(kind)
    consumer = till_consumer(database, topics)

    async with running(consumer, Relay(database, kafka_of(topics))), letters(topics) as reader:
        await produce(topics, [*good[:2], bad, *good[2:]])
        await taken(admin, consumer, topics, 5)
        letter = await asyncio.wait_for(reader.getone(), 20)

    assert await admin.fetchval(COUNTED) == 4
    row = await admin.fetchrow('SELECT state, "offset", payload FROM parked')
    assert tuple(row) == ("skipped", 2, bad.value)
    assert (letter.key, letter.value) == (bad.key, bad.value)
    assert dict(letter.headers)["kafka_dlt-original-offset"] == b"2"


def spoil(order: UUID, monkeypatch: pytest.MonkeyPatch) -> type[unpacking.ForgivingRecords]:
    """Have a wire that turns a batch's bytes while its `spoils` is set; it is read last."""

    class Wire(unpacking.ForgivingRecords):
        spoils = True

        def __init__(self, data: bytes) -> None:
            name = str(order).encode()
            super().__init__(data.replace(name, name[::-1]) if self.spoils else data)

    for module, changed in ((unpacking, "ForgivingRecords"), (fetcher, "MemoryRecords")):
        monkeypatch.setattr(module, changed, Wire)
    monkeypatch.setattr(random, "shuffle", list.sort)  # aiokafka's order of partitions
    return Wire


async def test_a_batch_that_cannot_be_unpacked_holds_up_its_partition_alone_and_loses_nothing(
    database: Database, admin: Admin, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = uuid7()
    wire: Any = spoil(spoilt, monkeypatch)
    for partition in range(3):
        await produce(topics, [till.record(uuid7()) for _ in range(3)], partition=partition)
    await produce(topics, [till.record(uuid7()), till.record(spoilt)], partition=2)
    await produce(topics, [till.record(uuid7())], partition=2)
    consumer = till_consumer(database, topics)

    async def counted(orders: int) -> bool:
        return await admin.fetchval(COUNTED) == orders

    async with running(consumer):
        await eventually(lambda: counted(9))
        await produce(topics, [till.record(uuid7())])
        await eventually(lambda: counted(10))
        await eventually(lambda: withheld() == 1)
        assert await admin.fetchval(PLACE.replace("= 0", "= 2")) == 3

        wire.spoils = False
        await eventually(lambda: counted(13))
        await eventually(lambda: withheld() == 0)

    assert await admin.fetchval(PLACE.replace("= 0", "= 2")) == 6


def withheld() -> float | None:
    return prometheus_client.REGISTRY.get_sample_value("pedido_consumer_withheld_partitions")


async def test_a_stop_under_load_does_not_wait_for_the_next_batch(
    database: Database, admin: Admin, topics: Topics
) -> None:
    stop, consumer = asyncio.Event(), till_consumer(database, topics, consumer_max_records=1)
    await produce(topics, [till.record(uuid7()) for _ in range(3)])

    run = asyncio.create_task(consumer.run(stop))
    async with consumer._hand:
        await eventually(lambda: waiting_for(consumer) == 1)  # a batch
        stop.set()
        await eventually(lambda: waiting_for(consumer) == 2)  # and then who stops it
    await asyncio.wait_for(run, 5)

    assert await admin.fetchval("SELECT count(*) FROM till") == 0


def waiting_for(consumer: Consumer[till.Till]) -> int:
    return len(consumer._hand._waiters or ())


async def test_an_unknown_schema_waits_and_its_neighbours_do_not(
    database: Database, admin: Admin, topics: Topics
) -> None:
    consumer = till_consumer(database, topics)

    async with running(consumer):
        skewed = bad_record("an unknown schema")
        await produce(topics, [till.record(uuid7()), skewed, till.record(uuid7())])
        await taken(admin, consumer, topics, 3)

    assert await admin.fetchval(COUNTED) == 2
    assert await admin.fetchval("SELECT state FROM parked") == "retry"


async def test_another_topics_type_is_ignored(
    database: Database, admin: Admin, topics: Topics
) -> None:
    consumer = till_consumer(database, topics)

    async with running(consumer):
        await produce(topics, [bad_record("another topic's type"), till.record(uuid7())])
        await taken(admin, consumer, topics, 2)

    assert await admin.fetchval(COUNTED) == 1
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0


def test_aiokafka_reads_for_each_fetch_how_long_it_may_take() -> None:
    read = set(fetcher.Fetcher._get_actions_per_node.__code__.co_names)

    assert {"_fetch_min_bytes", "_fetch_max_wait_ms"} <= read


async def test_the_broker_gathers_while_a_batch_is_handled_and_not_at_rest(
    database: Database, admin: Admin, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    gather = _Records.gather

    def noting(client: _Records, seconds: float) -> None:
        gather(client, seconds)
        fetcher: Any = client._fetcher
        waits.append(fetcher._fetch_max_wait_ms)

    monkeypatch.setattr(_Records, "gather", noting)
    consumer = till_consumer(database, topics)

    async with running(consumer):
        for offset in range(3):
            await produce(topics, [till.record(uuid7())])
            await taken(admin, consumer, topics, offset + 1)
        await eventually(lambda: waits[-1] == 500)

    assert 0 < min(waits) <= 40


async def test_a_record_from_before_the_calendar_is_handled(
    database: Database, admin: Admin, topics: Topics
) -> None:
    consumer = till_consumer(database, topics)

    async with running(consumer):
        await produce(topics, [till.record(uuid7())], timestamp=-(10**15))
        await taken(admin, consumer, topics, 1)

    assert await admin.fetchval(COUNTED) == 1


async def test_a_decision_that_raises_parks_its_own_key_only(
    database: Database, admin: Admin, topics: Topics
) -> None:
    sick = uuid7()
    consumer = till_consumer(database, topics, failing_for(sick))

    async with running(consumer):
        orders = (sick, uuid7(), sick, uuid7())
        await produce(topics, [till.record(order) for order in orders])
        await taken(admin, consumer, topics, 4)

    assert await admin.fetchval(COUNTED) == 2
    rows = await admin.fetch("SELECT key, state FROM parked")
    assert [tuple(row) for row in rows] == [(str(sick).encode(), "retry")] * 2


async def test_a_flood_stops_all_until_an_operator_resumes(
    database: Database, admin: Admin, topics: Topics
) -> None:
    orders = [uuid7() for _ in range(200)]
    flooded = till_consumer(database, topics, failing_for(*orders[:100]))
    async with running(flooded, Sweeper(flooded, database)):
        await produce(topics, [till.record(order) for order in orders])
        await eventually(lambda: admin.fetchval("SELECT count(*) FROM consumer_halts"))
    assert await ready_status(flooded) == 503

    healed = till_consumer(database, topics, consumer_watchdog=timedelta(milliseconds=1))
    async with running(healed, Sweeper(healed, database)):
        await eventually(lambda: healed.halted)
        await produce(topics, [till.record(uuid7())])
        await eventually(healed._hand.locked)
        await healed._look()
        await healed._look()  # would end this process if lag counted while halted
        assert await ready_status(healed) == 503
        waiting = "SELECT count(*) FROM parked WHERE state = 'retry'"
        assert await admin.fetchval(waiting) == 100
        assert await admin.fetchval(PLACE) == 200

        await admin.execute("DELETE FROM consumer_halts")
        await taken(admin, healed, topics, 201)
        await eventually(lambda: none_parked(admin))

    assert await ready_status(healed) == 200
    assert await admin.fetchval(COUNTED) == 201


async def test_a_halt_is_noted_when_the_database_answers_again(
    database: Database, admin: Admin, topics: Topics
) -> None:
    consumer = till_consumer(database, topics)
    async with admin.transaction():
        await admin.execute("LOCK TABLE consumer_halts")
        halting = asyncio.create_task(consumer.halt("a flood"))
        await eventually(lambda: waits_for_lock(admin))
        await eventually(lambda: gave_up_once(admin))
    await halting

    assert consumer.halted == "a flood"
    assert await admin.fetchval("SELECT reason FROM consumer_halts") == "a flood"


async def waits_for_lock(admin: Admin) -> bool:
    return await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1


async def gave_up_once(admin: Admin) -> bool:
    return await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0


async def none_parked(admin: Admin) -> bool:
    return await admin.fetchval("SELECT count(*) FROM parked") == 0


async def ready_status(consumer: Consumer[till.Till]) -> int:
    app = create_app(
        title="till",
        service="till",
        settings=ServiceSettings(app_env="test"),
        health=Health(ready={"consumer": lambda: check_flood(consumer)}),
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://till") as http:
        return (await http.get("/api/v1/health/ready")).status_code


async def test_a_restored_database_is_not_read_past_and_the_rest_flows(
    database: Database, admin: Admin, topics: Topics
) -> None:
    before = till_consumer(database, topics)
    async with running(before):
        await produce(topics, [till.record(uuid7()) for _ in range(3)])
        await taken(admin, before, topics, 3)
    await admin.execute('UPDATE positions SET next_offset = 1 WHERE "partition" = 0')

    restored = till_consumer(database, topics)
    async with running(restored):
        await produce(topics, [till.record(uuid7())])
        await eventually(lambda: len(restored.partitions.withheld) == 1)
        other = till.record(uuid7())
        producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap)
        await producer.start()
        headers = [(name.decode(), value) for name, value in other.headers]
        topic = topics.name("orders.v1")
        await producer.send_and_wait(topic, other.value, other.key, partition=1, headers=headers)
        await eventually(lambda: admin.fetchval(PLACE.replace("= 0", "= 1")))
        # Another joins and leaves while a batch is in hand: no poll sees that between.
        async with restored._hand:
            await producer.send_and_wait(topic, b"", None, partition=1)
            await eventually(lambda: restored._hand._waiters)
            async with running(till_consumer(database, topics)):
                await eventually(lambda: len(restored._client.assignment()) < 3)
            await eventually(lambda: len(restored._client.assignment()) == 3)
        await eventually(lambda: len(restored.partitions.readable) == 2)
        await producer.send_and_wait(topic, b"", None, partition=1)
        await eventually(lambda: three_in(admin))
        await producer.stop()

    assert await admin.fetchval(PLACE) == 1
    assert await admin.fetchval(COUNTED) == 4


async def three_in(admin: Admin) -> bool:
    return await admin.fetchval(PLACE.replace("= 0", "= 1")) == 3


@pytest.mark.parametrize("kind", ["paused", "without fetcher"])
async def test_a_consumer_that_gets_nothing_while_records_wait_ends_its_process(
    empty_databases: Databases, admin: Admin, topics: Topics, kind: str
) -> None:
    await produce(topics, [till.record(uuid7())])
    script = Path(__file__).with_name("stuck.py")
    dsn = empty_databases.app_dsn("inventory")

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), kind, dsn, topics.bootstrap, topics.prefix),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 50)

    assert process.returncode == 1
    assert b"records wait and none comes" in output
    assert await admin.fetchval("SELECT count(*) FROM inbox") == 0


async def test_a_batch_that_explodes_is_one_dead_letter(
    database: Database, admin: Admin, topics: Topics
) -> None:
    consumer, bomb = till_consumer(database, topics), bytes(40 * 2**20)  # 40 KiB on the wire
    options: Any = {"compression_type": "gzip", "max_request_size": 2**26}

    async with running(consumer):
        async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap, **options) as producer:
            await producer.send_and_wait(topics.name("orders.v1"), bomb, partition=0)
        await produce(topics, [till.record(uuid7())])
        await taken(admin, consumer, topics, 2)

    assert await admin.fetchval(COUNTED) == 1
    assert (
        await admin.fetchval("SELECT state FROM parked WHERE length(payload) < 99999") == "skipped"
    )
