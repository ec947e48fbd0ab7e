"""Every place where a word may have been kept: tables, topics, logs and Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from devstack.stack import Stack
from devstack.topology import SERVICES
from redis.asyncio import Redis

from tests.support.kafka import PARTITIONS, Topics

_COLUMNS = """
    SELECT format('%I.%I', n.nspname, c.relname) AS "table", a.attname AS name
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'm') AND a.attnum > 0
       AND NOT a.attisdropped
"""
"""Partitions and all; a partitioned table itself holds nothing."""


@dataclass(frozen=True)
class Stores:
    """All that a suite of services has written anywhere."""

    stack: Stack
    topics: Topics
    db: asyncpg.Connection[asyncpg.Record]

    async def columns_with(self, *words: str) -> set[str]:
        """Name every column of every schema in which one of the words is, bytes looked into."""
        needles = [f"%{word}%" for word in words]
        needles += [f"%{word.encode().hex()}%" for word in words]
        schemas = [service.schema for service in SERVICES.values()]
        found: set[str] = set()
        for table, name in await self.db.fetch(_COLUMNS, schemas):
            sql = f'SELECT EXISTS (SELECT FROM {table} WHERE "{name}"::text ILIKE ANY ($1))'  # noqa: S608  the catalogue's own names
            if await self.db.fetchval(sql, needles):
                found.add(f"{table}.{name}")
        return found

    async def records(self) -> AsyncIterator[tuple[str, ConsumerRecord]]:
        """Read every topic from its beginning to its present end."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.stack.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            partitions = [
                TopicPartition(name, partition)
                for name in self.topics.names
                for partition in range(PARTITIONS)
            ]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    for record in batch:
                        yield record.topic.removeprefix(self.topics.prefix), record
        finally:
            await consumer.stop()

    def logs_with(self, *words: str) -> list[str]:
        """Find every line of a service's log in which one of the words is."""
        return [
            line
            for log in (self.stack.state / "logs").glob(f"{self.topics.prefix}*.log")
            for line in log.read_text(errors="replace").splitlines()
            if any(word.lower() in line.lower() for word in words)
        ]

    async def cached_with(self, *words: str) -> list[str]:
        """Find every key of Valkey in which, or in whose value, one of the words is."""
        needles = [word.lower().encode() for word in words]
        async with Redis.from_url(self.stack.redis_url) as valkey:
            keys = [key async for key in valkey.scan_iter()]
            entries = [(key, await valkey.dump(key) or b"") for key in keys]
        return [
            key.decode(errors="replace")
            for key, value in entries
            if any(needle in (key + b"\n" + value).lower() for needle in needles)
        ]


def mentions(record: ConsumerRecord, *words: str) -> bool:
    """Tell whether one of the words is in a record: its key, its value or its headers."""
    whole = b"\n".join(
        (record.key or b"", record.value or b"", *(value for _, value in record.headers))
    ).lower()
    return any(word.lower().encode() in whole for word in words)
