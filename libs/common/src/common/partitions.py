"""Which of the group's partitions are read: what must not be, or can't be, holds up no other.

Where the database knows less than the group it was restored from before, and every event between
would be skipped in silence; where a batch can't be unpacked, skipping it would lose it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from typing_extensions import override

from common import inbox, telemetry
from common.database import Database
from common.offsets import Offsets
from common.unpacking import Unreadable

_log = telemetry.get_logger()


class Partitions(ConsumerRebalanceListener):
    """Admits each partition before its first poll, and withholds what must not be read."""

    def __init__(self, offsets: Offsets, *, database: Database, topic_prefix: str) -> None:
        self.withheld: set[TopicPartition] = set()
        self._offsets = offsets
        self._database = database
        self._prefix = topic_prefix
        self._admitted: frozenset[TopicPartition] = frozenset()
        self._unreadable: set[TopicPartition] = set()
        self._assignments = 0

    @property
    def readable(self) -> frozenset[TopicPartition]:
        """Name the partitions that may be read."""
        return self._admitted - self.withheld

    async def admit(self, client: AIOKafkaConsumer) -> None:
        """Look at each new partition, and withhold it if its offset is ahead of this database."""
        assigned, assignments = frozenset(client.assignment()), self._assignments
        new = assigned - self._admitted
        self.withheld &= assigned - new
        self._unreadable &= self.withheld
        client.pause(*self.withheld)  # again each time: a rebalance forgets it
        if not new:
            self._admitted = assigned
            return
        # Before the positions, which a former owner moves before the offsets.
        offsets = await asyncio.gather(*(client.committed(partition) for partition in new))
        async with self._database.transaction() as tx:
            known = await inbox.positions(tx)
        if self._assignments != assignments:
            return  # what we found may be old: the next poll looks again
        for partition, committed in zip(new, offsets, strict=True):
            stands = known.get(self._logical(partition), 0)
            self._offsets.next[partition] = stands
            if (committed or 0) > stands:
                _log.error(
                    "the database is behind the group's offset: partition not read, run rewind",
                    topic=partition.topic,
                    partition=partition.partition,
                    lag=committed - stands,
                )
                self.withheld.add(partition)
                client.pause(partition)
        self._admitted = assigned
        telemetry.CONSUMER_WITHHELD.set(len(self.withheld))

    def set_aside(
        self, client: AIOKafkaConsumer, partition: TopicPartition, rest: Unreadable
    ) -> None:
        """Withhold a partition whose next batch can't be unpacked, until the next try."""
        _log.error(
            "a batch can't be unpacked: partition not read",
            topic=partition.topic,
            partition=partition.partition,
            offset=rest.offset,
            error=repr(rest.error),
        )
        self._unreadable.add(partition)
        self.withheld.add(partition)
        client.pause(partition)

    def try_again(self, client: AIOKafkaConsumer) -> None:
        """Read on where a batch could not be unpacked: it may have been spoilt on its way only."""
        telemetry.CONSUMER_WITHHELD.set(len(client.assignment() - self.readable))
        client.resume(*(self._unreadable & client.assignment()))
        self.withheld -= self._unreadable
        self._unreadable.clear()

    def _logical(self, partition: TopicPartition) -> tuple[str, int]:
        return partition.topic.removeprefix(self._prefix), partition.partition

    @override
    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Tell the next owner where to begin."""
        await self._offsets.commit()

    @override
    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Have all admitted anew by the next poll: others may have read on in those that we had."""
        self._assignments += 1
        self._admitted -= frozenset(assigned)
