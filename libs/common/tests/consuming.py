"""A till that reads from a real broker, what is sent to it to the byte, and how far it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import asyncpg
import till
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from common.consumer import Consumer
from common.database import Database
from common.dead_letter import Record
from common.message import Outcome, Stale
from common.settings import KafkaSettings
from typing_extensions import override

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from common.due import Loop

    from tests.support.kafka import Topics

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

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
