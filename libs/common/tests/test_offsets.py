"""The group's offsets against a client that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest
import till
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaConnectionError
from common.message import uuid7
from common.offsets import Offsets

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from common.dead_letter import Record

FIRST, SECOND = TopicPartition("t.orders.v1", 0), TopicPartition("t.orders.v1", 1)


@dataclass
class Group:
    """Stands where aiokafka's consumer would: it owns partitions and may fail to commit."""

    owned: set[TopicPartition] = field(default_factory=lambda: {FIRST, SECOND})
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    told: int = 0
    failures: list[Exception] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def assignment(self) -> set[TopicPartition]:
        return self.owned

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.told += 1
        await self.answers.wait()
        if self.failures:
            raise self.failures.pop()
        self.committed.update(offsets)


def following(group: Group) -> Offsets:
    offsets = Offsets("t.")
    offsets.client = cast("AIOKafkaConsumer", group)
    return offsets


def record(offset: int, partition: int = 0) -> Record:
    return replace(till.record(uuid7()), partition=partition, offset=offset)


@pytest.fixture
def group() -> Group:
    group = Group()
    group.answers.set()
    return group


async def test_what_is_noted_is_committed_once(group: Group) -> None:
    offsets = following(group)

    offsets.note([record(6), record(3, partition=1), record(7)])
    await offsets.commit()
    await offsets.commit()

    assert group.committed == {FIRST: 8, SECOND: 4}
    assert group.told == 1


async def test_nothing_is_committed_of_a_partition_that_another_has(group: Group) -> None:
    offsets = following(group)

    offsets.note([record(6), record(3, partition=1)])
    group.owned = {SECOND}
    await offsets.commit()

    assert group.committed == {SECOND: 4}


@pytest.mark.parametrize(
    "failure",
    [CommitFailedError(), TimeoutError(), KafkaConnectionError()],
    ids=["rebalanced", "no answer", "broken connection"],
)
async def test_a_commit_that_failed_is_made_again(group: Group, failure: Exception) -> None:
    offsets = following(group)
    group.failures = [failure]

    offsets.note([record(6)])
    await offsets.commit()
    await offsets.commit()

    assert group.committed == {FIRST: 7}


async def test_what_is_handled_meanwhile_is_committed_next(group: Group) -> None:
    offsets = following(group)
    group.answers.clear()

    offsets.note([record(6)])
    committing = asyncio.create_task(offsets.commit())
    await asyncio.sleep(0)
    offsets.note([record(7)])
    group.answers.set()
    await committing
    await offsets.commit()

    assert group.committed == {FIRST: 8}
