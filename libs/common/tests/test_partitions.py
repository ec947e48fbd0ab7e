"""Which partitions are read, against a real database and a client that remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest
import till
from aiokafka import TopicPartition
from common.message import uuid7
from common.offsets import Offsets
from common.partitions import Partitions

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from common.database import Database
    from common.dead_letter import Record

FIRST, SECOND = TopicPartition("t.orders.v1", 0), TopicPartition("t.orders.v1", 1)

pytestmark = pytest.mark.postgres


@dataclass
class Group:
    """Stands where aiokafka's consumer would: it owns partitions and knows the group's offsets."""

    owned: set[TopicPartition] = field(default_factory=lambda: {FIRST, SECOND})
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[TopicPartition] = field(default_factory=set)

    def assignment(self) -> set[TopicPartition]:
        return self.owned

    def pause(self, *partitions: TopicPartition) -> None:
        assert self.owned.issuperset(partitions)
        self.paused.update(partitions)

    async def committed(self, partition: TopicPartition) -> int | None:
        return self.offsets.get(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.offsets.update(offsets)


def record(offset: int, partition: int = 0) -> Record:
    return replace(till.record(uuid7()), partition=partition, offset=offset)


def partitions_of(group: Group, database: Database) -> tuple[Partitions, Offsets]:
    offsets = Offsets("t.")
    offsets.client = cast("AIOKafkaConsumer", group)
    return Partitions(offsets, database=database, topic_prefix="t."), offsets


async def test_the_next_owner_is_told_where_to_begin(database: Database) -> None:
    group = Group()
    partitions, offsets = partitions_of(group, database)

    offsets.note([record(6)])
    await partitions.on_partitions_revoked({FIRST, SECOND})

    assert group.offsets == {FIRST: 7}
