"""Which of the group's partitions are read: none of which the database knows less than the group.

Such a database was restored from before, and every event between would be skipped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from typing_extensions import override

from common import inbox, telemetry
from common.database import Database
from common.offsets import Offsets

_log = telemetry.get_logger()


class Partitions(ConsumerRebalanceListener):
    """Admits each partition before its first poll, and withholds what must not be read."""

    def __init__(self, offsets: Offsets, *, database: Database, topic_prefix: str) -> None:
        self.withheld: set[TopicPartition] = set()
        self._offsets = offsets
        self._database = database
        self._prefix = topic_prefix
        self._admitted: frozenset[TopicPartition] = frozenset()

    @property
    def readable(self) -> frozenset[TopicPartition]:
        """Name the partitions that may be read."""
        return self._admitted - self.withheld

    async def admit(self, client: AIOKafkaConsumer) -> None:
        """Look at each new partition, and withhold it if its offset is ahead of this database."""
        assigned = client.assignment()
        new = assigned - self._admitted
        self.withheld &= assigned
        client.pause(*self.withheld)  # again each time: a rebalance forgets it
        if not new:
            self._admitted = frozenset(assigned)
            return
        async with self._database.transaction() as tx:
            known = await inbox.positions(tx)
        for partition in new:
            committed = await client.committed(partition) or 0
            stands = known.get(self._logical(partition), 0)
            self._offsets.next[partition] = stands
            if committed > stands:
                _log.error(
                    "the database is behind the group's offset: partition not read, run rewind",
                    topic=partition.topic,
                    partition=partition.partition,
                    lag=committed - stands,
                )
                self.withheld.add(partition)
                client.pause(partition)
        self._admitted = frozenset(assigned)
        telemetry.CONSUMER_WITHHELD.set(len(self.withheld))

    def _logical(self, partition: TopicPartition) -> tuple[str, int]:
        return partition.topic.removeprefix(self._prefix), partition.partition

    @override
    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Tell the next owner where to begin."""
        await self._offsets.commit()

    @override
    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Do nothing: a partition is admitted when it is first polled."""
