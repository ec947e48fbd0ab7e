"""Reads every event topic once from its beginning, and how far each consumer group has come."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from invariants.decides import EVENT_TOPICS, HEARD, STATE_TOPICS
from invariants.sources import SourceError, Sources

DEAD_LETTER_TOPICS = tuple(f"{group}.dlt" for group in HEARD)
COUNTED_TOPICS = ("catalog.v1", "customers.v1", *DEAD_LETTER_TOPICS)
"""Not read: how many records they hold is all that is told of them."""

BATCH = 5_000
"""Records a poll: a pass over 200,000 takes 40 polls instead of 400."""

ID_VERSION = 7
"""Ids of another version are poison to every consumer and never reach an inbox."""


Place: TypeAlias = tuple[str, int, int]
"""Logical topic, partition, offset."""


@dataclass(slots=True)
class TopicLog:
    """What one pass over the event topics saw, by logical topic name."""

    ids: dict[tuple[str, str], dict[UUID, Place]] = field(default_factory=dict)
    """(topic, type) → each usable id and where it stands first."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    unusable: int = 0
    trimmed: set[str] = field(default_factory=set)
    sizes: Counter[str] = field(default_factory=Counter)
    """How many records each topic holds."""

    def add(self, place: Place, headers: Mapping[str, bytes]) -> None:
        """Count one record, and keep its id if a consumer could use it."""
        topic = place[0]
        event_type = headers.get("ce_type", b"").decode("utf-8", "replace")
        self.counts[topic, event_type] += 1
        event_id = _usable_id(headers.get("ce_id", b""))
        if event_id is None:
            self.unusable += 1
            return
        self.ids.setdefault((topic, event_type), {}).setdefault(event_id, place)

    def heard_by(self, heard: Mapping[str, Iterable[str]]) -> dict[UUID, Place]:
        """Return the distinct usable ids of the types that a service decides on."""
        wanted = [(topic, name) for topic, types in heard.items() for name in types]
        return {event: at for kind in wanted for event, at in self.ids.get(kind, {}).items()}

    def every_id(self) -> set[UUID]:
        return set().union(*self.ids.values())


def _usable_id(raw: bytes) -> UUID | None:
    try:
        found = UUID(raw.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        return None
    return found if found.version == ID_VERSION else None


@asynccontextmanager
async def _consumer(sources: Sources) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=sources.kafka,
        enable_auto_commit=False,
        fetch_max_bytes=64 * 1024 * 1024,
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    try:
        await consumer.start()
    except KafkaError as error:
        message = f"KAFKA_BOOTSTRAP_SERVERS: no broker answers at {sources.kafka} ({error})"
        raise SourceError(message) from error
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read(sources: Sources) -> TopicLog:
    """Read all event topics from their beginning to where they end now."""
    log = TopicLog()
    async with _consumer(sources) as consumer:
        await _measure(consumer, sources.topic_prefix, log)
        partitions = await _partitions(consumer, sources.topic_prefix, EVENT_TOPICS)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions)
        log.trimmed = {
            part.topic.removeprefix(sources.topic_prefix)
            for part, begin in begins.items()
            if begin > 0
        }
        consumer.assign([part for part in partitions if ends[part] > begins[part]])
        await consumer.seek_to_beginning()
        async for record in _records(consumer, ends):
            topic = record.topic.removeprefix(sources.topic_prefix)
            log.add((topic, record.partition, record.offset), dict(record.headers))
    return log


async def _records(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    unread = consumer.assignment()
    while unread:
        batches = await consumer.getmany(*unread, timeout_ms=200, max_records=BATCH)
        for records in batches.values():
            for record in records:
                yield record
        # the position, not the last record: a transaction marker or a compacted offset yields none
        unread = {part for part in unread if await consumer.position(part) < ends[part]}


async def _partitions(
    consumer: AIOKafkaConsumer, prefix: str, topics: Iterable[str]
) -> list[TopicPartition]:
    known = await consumer.topics()
    missing = [prefix + topic for topic in topics if prefix + topic not in known]
    if missing:
        message = f"the broker has no topic {', '.join(missing)}: is TOPIC_PREFIX right?"
        raise SourceError(message)
    return [
        TopicPartition(prefix + topic, number)
        for topic in topics
        for number in consumer.partitions_for_topic(prefix + topic) or ()
    ]


async def _measure(consumer: AIOKafkaConsumer, prefix: str, log: TopicLog) -> None:
    known = await consumer.topics()
    present = [topic for topic in (*EVENT_TOPICS, *COUNTED_TOPICS) if prefix + topic in known]
    partitions = await _partitions(consumer, prefix, present)
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    for part in partitions:
        log.sizes[part.topic.removeprefix(prefix)] += ends[part] - begins[part]


async def lag(sources: Sources) -> dict[tuple[str, str], int]:
    """Return how many records each group has yet to take, by group and topic; zeros left out."""
    admin = AIOKafkaAdminClient(bootstrap_servers=sources.kafka)
    async with _consumer(sources) as consumer:
        await admin.start()
        try:
            return {
                (group, topic): behind
                for group, heard in HEARD.items()
                for topic, behind in (
                    await _lag_of(admin, consumer, sources.topic_prefix, group, heard)
                ).items()
            }
        finally:
            await admin.close()


async def _lag_of(
    admin: AIOKafkaAdminClient,
    consumer: AIOKafkaConsumer,
    prefix: str,
    group: str,
    heard: Mapping[str, frozenset[str]],
) -> dict[str, int]:
    committed = await admin.list_consumer_group_offsets(prefix + group)
    topics = [*heard, *STATE_TOPICS.get(group, ())]
    partitions = await _partitions(consumer, prefix, topics)
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    behind: Counter[str] = Counter()
    for part in partitions:
        known = committed.get(part)
        # -1 is the broker's word for "nothing committed yet"
        taken = known.offset if known and known.offset >= 0 else begins[part]
        behind[part.topic.removeprefix(prefix)] += max(0, ends[part] - taken)
    return {topic: records for topic, records in behind.items() if records}
