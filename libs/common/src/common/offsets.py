"""The group's offsets in Kafka: they follow this database's positions, a moment behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from common import telemetry
from common.dead_letter import Record
from common.due import pause
from common.failpoint import failpoint

_EVERY = 0.25
"""Seconds between commits: one costs the broker as much as a batch of records does."""
_ANSWER = 3.0
"""Seconds for a commit: aiokafka would try until the broker is back, at a stop too."""

_log = telemetry.get_logger()


class Offsets:
    """Says in Kafka what is handled, so that whoever reads on need not ask the inbox for much."""

    def __init__(self, topic_prefix: str) -> None:
        self.next: dict[TopicPartition, int] = {}
        """Where the database stands in each partition, as far as this process knows."""
        self.client: AIOKafkaConsumer | None = None
        self._prefix = topic_prefix
        self._moved: set[TopicPartition] = set()

    def note(self, batch: Iterable[Record]) -> None:
        """Remember what the database has committed: nothing else is ever said to Kafka."""
        ends = {(record.topic, record.partition): record.offset + 1 for record in batch}
        for (topic, partition), end in ends.items():
            moved = TopicPartition(self._prefix + topic, partition)
            self.next[moved] = end
            self._moved.add(moved)

    async def follow(self, stop: asyncio.Event) -> None:
        """Commit what has moved, again and again; the last time is up to who stops the batches."""
        while not stop.is_set():
            await pause(stop, _EVERY)
            await self.commit()

    async def commit(self) -> None:
        """Commit what has moved since the last time, where the partition is still ours."""
        if self.client is None or not self._moved:
            return
        offsets = {each: self.next[each] for each in self._moved & self.client.assignment()}
        self._moved.clear()
        if not offsets:
            return
        failpoint("consumer.committing")
        try:
            async with asyncio.timeout(_ANSWER):
                await self.client.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            # Whoever reads these again finds them in the inbox.
            _log.warning("offsets not committed", reason=type(error).__name__)
            self._moved.update(offsets)
        failpoint("consumer.committed")
