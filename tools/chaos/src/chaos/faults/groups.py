"""Consumer groups whose members come and go, and whose offsets are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteGroupsRequest
from invariants.decides import HEARD, STATE_TOPICS

from chaos.fault import Injection
from chaos.town import ChaosError, Town, until

_BEYOND = 1_000_000_000
"""An offset that no topic of a run comes to."""
_BACK = 10_000
_STAY = 1.0
"""Seconds that a guest stays in a group."""
_EMPTY_WITHIN = 30.0


async def storm(town: Town, injection: Injection) -> int:
    """Join and leave a group again and again; answers how often."""
    clock = asyncio.get_running_loop()
    until_then = clock.time() + injection.seconds
    visits = 0
    while clock.time() < until_then:
        async with _member(town, injection.target):
            await asyncio.sleep(_STAY)
        await asyncio.sleep(_STAY)
        visits += 1
    return visits


async def rewind(town: Town, injection: Injection) -> int:
    """Set a group back by many records: all of them come again."""
    async with town.keeper.away(injection.target):
        await _move(town, injection.target, lambda offset: max(0, offset - _BACK))
    return 1


async def forget(town: Town, injection: Injection) -> int:
    """Delete a group with its offsets: every record that is kept comes again."""
    async with town.keeper.away(injection.target):
        client = AIOKafkaClient(bootstrap_servers=town.stack.bootstrap)
        try:
            await client.bootstrap()
            await until(lambda: _deleted(client, injection.target), _EMPTY_WITHIN, "group is empty")
        finally:
            await client.close()
    return 1


async def _deleted(client: AIOKafkaClient, service: str) -> bool:
    request = DeleteGroupsRequest([f"{service}-service"])
    answer = await client.send(client.get_random_node(), request)
    ((_, code),) = answer.results
    error: str = for_code(code).__name__
    if error not in {"NoError", "NonEmptyGroupError", "GroupIdNotFoundError"}:
        message = f"the broker keeps {service}'s group: {error}"
        raise ChaosError(message)
    return error != "NonEmptyGroupError"


async def beyond(town: Town, injection: Injection) -> int:
    """Set a group beyond the end: nothing may be read until an operator sets it back."""
    before: dict[TopicPartition, int] = {}

    def remember(partition: TopicPartition, offset: int) -> int:
        before[partition] = offset
        return _BEYOND

    async with town.keeper.away(injection.target):
        await _move_each(town, injection.target, remember)
    await asyncio.sleep(injection.seconds)
    async with town.keeper.away(injection.target):
        await _move_each(town, injection.target, lambda partition, _: before[partition])
    return 1


async def _move(town: Town, service: str, where: Callable[[int], int]) -> None:
    await _move_each(town, service, lambda _, offset: where(offset))


async def _move_each(town: Town, service: str, where: Callable[[TopicPartition, int], int]) -> None:
    """Commit other offsets for a group without members."""
    consumer = AIOKafkaConsumer(
        *_topics(service),
        bootstrap_servers=town.stack.bootstrap,
        group_id=f"{service}-service",
        enable_auto_commit=False,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    await consumer.start()
    try:
        offsets: dict[TopicPartition, int] = {}
        await until(lambda: _has_all(consumer, _topics(service)), _EMPTY_WITHIN, "group is empty")
        for partition in consumer.assignment():
            offsets[partition] = where(partition, await consumer.committed(partition) or 0)
        await consumer.commit(offsets)
    finally:
        await consumer.stop()


async def _has_all(consumer: AIOKafkaConsumer, topics: list[str]) -> bool:
    wanted = sum(len(consumer.partitions_for_topic(topic) or ()) for topic in topics)
    return 0 < wanted == len(consumer.assignment())


@asynccontextmanager
async def _member(town: Town, service: str) -> AsyncIterator[None]:
    guest = AIOKafkaConsumer(
        *_topics(service),
        bootstrap_servers=town.stack.bootstrap,
        group_id=f"{service}-service",
        enable_auto_commit=False,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    await guest.start()
    try:
        yield
    finally:
        await guest.stop()


def _topics(service: str) -> list[str]:
    group = f"{service}-service"
    return [*HEARD[group], *STATE_TOPICS.get(group, ())]
