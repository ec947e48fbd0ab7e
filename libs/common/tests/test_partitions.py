"""Which partitions are read, against a real database and a client that remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
import till
from aiokafka import TopicPartition
from common.message import uuid7
from common.offsets import Offsets
from common.partitions import Partitions
from common.unpacking import Unreadable

if TYPE_CHECKING:
    import asyncpg
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
    asked: Callable[[], Awaitable[None]] | None = None
    """What happens while somebody asks for the offsets, the first time."""

    def assignment(self) -> set[TopicPartition]:
        return self.owned

    def pause(self, *partitions: TopicPartition) -> None:
        assert self.owned.issuperset(partitions)
        self.paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused.difference_update(partitions)

    async def committed(self, partition: TopicPartition) -> int | None:
        asked, self.asked = self.asked, None
        if asked is not None:
            await asked()
        return self.offsets.get(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.offsets.update(offsets)


def record(offset: int, partition: int = 0) -> Record:
    return replace(till.record(uuid7()), partition=partition, offset=offset)


def partitions_of(group: Group, database: Database) -> tuple[Partitions, Offsets]:
    offsets = Offsets("t.")
    offsets.client = cast("AIOKafkaConsumer", group)
    return Partitions(offsets, database=database, topic_prefix="t."), offsets


async def read_up_to(offset: int, group: Group, admin: asyncpg.Connection[asyncpg.Record]) -> None:
    """Have another process handle the first partition so far, and say so."""
    await admin.execute(
        """
        INSERT INTO positions (topic, "partition", next_offset) VALUES ('orders.v1', 0, $1)
            ON CONFLICT (topic, "partition") DO UPDATE SET next_offset = excluded.next_offset
        """,
        offset,
    )
    group.offsets[FIRST] = offset


async def test_a_former_owner_may_read_on_while_its_partition_is_looked_at(
    database: Database, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    group = Group(owned={FIRST})
    partitions, offsets = partitions_of(group, database)

    group.asked = partial(read_up_to, 7, group, admin)
    await partitions.admit(cast("AIOKafkaConsumer", group))

    assert partitions.readable == {FIRST}
    assert offsets.next == {FIRST: 7}


async def test_a_partition_that_was_lost_and_regained_between_two_polls_is_looked_at_anew(
    database: Database, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    group = Group()
    partitions, offsets = partitions_of(group, database)
    await read_up_to(3, group, admin)
    await partitions.admit(cast("AIOKafkaConsumer", group))
    assert offsets.next == {FIRST: 3, SECOND: 0}

    await partitions.on_partitions_revoked({FIRST, SECOND})
    await read_up_to(9, group, admin)
    partitions.on_partitions_assigned({FIRST, SECOND})
    assert partitions.readable == set()
    await partitions.admit(cast("AIOKafkaConsumer", group))

    assert partitions.readable == {FIRST, SECOND}
    assert offsets.next == {FIRST: 9, SECOND: 0}


async def test_a_partition_that_was_lost_and_regained_while_it_is_looked_at_waits_for_the_next_poll(
    database: Database, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    group = Group()
    partitions, offsets = partitions_of(group, database)

    async def rebalance() -> None:
        partitions.on_partitions_assigned({FIRST, SECOND})

    group.asked = rebalance
    await partitions.admit(cast("AIOKafkaConsumer", group))
    assert partitions.readable == set()
    await read_up_to(9, group, admin)
    await partitions.admit(cast("AIOKafkaConsumer", group))

    assert partitions.readable == {FIRST, SECOND}
    assert offsets.next == {FIRST: 9, SECOND: 0}


async def test_a_partition_that_the_database_is_behind_is_withheld_until_it_is_not(
    database: Database, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    group = Group(offsets={FIRST: 5})
    partitions, _ = partitions_of(group, database)
    await partitions.admit(cast("AIOKafkaConsumer", group))
    assert (partitions.readable, group.paused) == ({SECOND}, {FIRST})

    await read_up_to(5, group, admin)
    group.paused.clear()
    partitions.on_partitions_assigned({FIRST, SECOND})
    await partitions.admit(cast("AIOKafkaConsumer", group))

    assert (partitions.readable, group.paused) == ({FIRST, SECOND}, set())


async def test_a_batch_that_cannot_be_unpacked_is_tried_again_where_the_database_is_not_behind(
    database: Database,
) -> None:
    group = Group()
    client = cast("AIOKafkaConsumer", group)
    partitions, _ = partitions_of(group, database)
    await partitions.admit(client)

    for each in (FIRST, SECOND):
        partitions.set_aside(client, each, Unreadable(0, ValueError("no checksum of ours")))
    assert (partitions.readable, group.paused) == (set(), {FIRST, SECOND})
    group.offsets = {FIRST: 5}
    partitions.on_partitions_assigned({FIRST})
    await partitions.admit(client)
    partitions.try_again(client)

    assert (partitions.readable, group.paused) == ({SECOND}, {FIRST})


async def test_the_next_owner_is_told_where_to_begin(database: Database) -> None:
    group = Group()
    partitions, offsets = partitions_of(group, database)

    offsets.note([record(6)])
    await partitions.on_partitions_revoked({FIRST, SECOND})

    assert group.offsets == {FIRST: 7}
