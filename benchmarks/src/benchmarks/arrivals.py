"""What arrives in a topic: counted while it comes, and read back at the end."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.driver import LoadError


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A topic that only one relay sends to."""

    consumer: AIOKafkaConsumer
    partitions: Sequence[TopicPartition]

    async def count(self) -> int:
        """Count what has arrived so far."""
        return sum((await self.consumer.end_offsets(self.partitions)).values())

    async def verify(self, count: int, *, in_order: bool = True) -> None:
        """Read back: every event once, and those of one key in their order if that is promised."""
        if (arrived := await self.count()) != count:
            message = f"{arrived} records are in the topic, not {count}"
            raise LoadError(message)
        self.consumer.assign(self.partitions)
        await self.consumer.seek_to_beginning(*self.partitions)
        numbers: defaultdict[bytes, list[int]] = defaultdict(list)
        left = count
        while left > 0:
            batches = await self.consumer.getmany(timeout_ms=5000, max_records=5000)
            if not batches:
                message = f"{left} of {count} events are not in the topic"
                raise LoadError(message)
            for record in (record for records in batches.values() for record in records):
                numbers[record.key].append(int(dict(record.headers)["ce_version"]))
                left -= 1
        judge(numbers.values(), count, in_order=in_order)


def judge(by_key: Iterable[Sequence[int]], count: int, *, in_order: bool) -> None:
    """Refuse events that came twice, or before an earlier one of their key."""
    lanes = list(by_key)
    if len({number for lane in lanes for number in lane}) != count:
        raise LoadError("an event came twice")
    if in_order and any(list(lane) != sorted(lane) for lane in lanes):
        raise LoadError("an event came before an earlier one of its key")


@asynccontextmanager
async def arrivals(bootstrap: str, topic: str) -> AsyncIterator[Arrivals]:
    """Look at all partitions of a topic that exists."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    partitions = [TopicPartition(topic, each["partition"]) for each in described["partitions"]]
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:
        yield Arrivals(consumer, partitions)
