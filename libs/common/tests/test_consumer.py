"""What the consumer reads, from a real broker into a real database, and what it sets aside."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import prometheus_client
import pytest
import till
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer import fetcher
from common import unpacking
from common.consumer import Consumer, _Records
from common.database import Database
from common.dead_letter import Record
from common.message import uuid7
from common.relay import Relay
from consuming import (
    COUNTED,
    PLACE,
    Admin,
    failing_for,
    kafka_of,
    produce,
    running,
    taken,
    till_consumer,
)

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.kafka import Topics

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


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


@pytest.mark.parametrize(
    ("unhurried", "least_ms", "most_ms", "kib"), [(False, 1, 25, 64), (True, 200, 200, 512)]
)
async def test_the_broker_gathers_while_a_batch_is_handled_and_not_at_rest(
    database: Database,
    admin: Admin,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    *,
    unhurried: bool,
    least_ms: int,
    most_ms: int,
    kib: int,
) -> None:
    waits: list[int] = []
    worthwhile: list[int] = []
    gather = _Records.gather

    def noting(client: _Records, seconds: float) -> None:
        gather(client, seconds)
        fetcher: Any = client._fetcher
        waits.append(fetcher._fetch_max_wait_ms)
        worthwhile.append(fetcher._fetch_min_bytes)

    monkeypatch.setattr(_Records, "gather", noting)
    subscription = replace(till.subscription(), unhurried=unhurried)
    consumer = Consumer(subscription, database=database, kafka=kafka_of(topics))

    async with running(consumer):
        for offset in range(3):
            await produce(topics, [till.record(uuid7())])
            await taken(admin, consumer, topics, offset + 1)
        await eventually(lambda: waits[-1] == 500)

    assert least_ms <= min(waits) <= most_ms
    assert set(worthwhile) == {1, kib * 1024}


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
