"""How far behind its topics a service is, asked of the broker in one bounded look."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from common.broker import client_options
from common.errors import Unavailable
from common.settings import KafkaSettings

_LONGEST_LOOK = 5.0
"""Seconds: an operator who asks why nothing moves must not wait for a dead broker too."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where the broker has one partition."""

    topic: str
    partition: int
    begin: int
    end: int
    committed: int | None


async def look(kafka: KafkaSettings, *, group: str, topics: Sequence[str]) -> list[Offsets]:
    """Read the offsets of a group's partitions; raises Unavailable when the broker is away."""
    try:
        async with asyncio.timeout(_LONGEST_LOOK):
            return await _look(kafka, group, topics)
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"the broker is away: {type(error).__name__}") from error


async def _look(kafka: KafkaSettings, group: str, topics: Sequence[str]) -> list[Offsets]:
    prefix = kafka.topic_prefix
    admin = AIOKafkaAdminClient(**client_options(kafka))
    # Without a group: it joins nothing and moves nobody's partitions.
    reader = AIOKafkaConsumer(*(prefix + topic for topic in topics), **client_options(kafka))
    try:
        await admin.start()
        await reader.start()
        committed = await admin.list_consumer_group_offsets(prefix + group)
        partitions = sorted(reader.assignment())
        begins = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
    finally:
        await reader.stop()
        await admin.close()
    return [
        Offsets(
            topic=each.topic.removeprefix(prefix),
            partition=each.partition,
            begin=begins[each],
            end=ends[each],
            committed=_offset(committed, each),
        )
        for each in partitions
    ]


def _offset(committed: dict[TopicPartition, object], partition: TopicPartition) -> int | None:
    found = getattr(committed.get(partition), "offset", -1)
    return found if found >= 0 else None
