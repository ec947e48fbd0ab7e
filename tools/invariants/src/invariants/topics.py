"""Reads every event topic once from its beginning, and how far each consumer group has come."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from common.broker import client_options
from common.errors import ConfigurationError
from common.settings import KafkaSettings, load

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


@dataclass(frozen=True, slots=True)
class _Broker:
    """The two clients that reading takes, and the prefix of all names on it."""

    admin: AIOKafkaAdminClient
    consumer: AIOKafkaConsumer
    prefix: str

    async def partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        """List the partitions of topics; raises SourceError for one that does not exist."""
        described = await self.admin.describe_topics([self.prefix + topic for topic in topics])
        missing = [topic["topic"] for topic in described if not topic["partitions"]]
        if missing:
            message = f"the broker has no topic {', '.join(missing)}: is TOPIC_PREFIX right?"
            raise SourceError(message)
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]

    async def bounds(self, topics: Sequence[str]) -> dict[TopicPartition, tuple[int, int]]:
        """Ask where each partition begins and ends."""
        partitions = await self.partitions(topics)
        begins = await self.consumer.beginning_offsets(partitions)
        ends = await self.consumer.end_offsets(partitions)
        return {part: (begins[part], ends[part]) for part in partitions}

    def logical(self, topic: str) -> str:
        return topic.removeprefix(self.prefix)


@asynccontextmanager
async def _broker(sources: Sources) -> AsyncIterator[_Broker]:
    options = _options(sources)
    consumer = AIOKafkaConsumer(
        **options,
        enable_auto_commit=False,
        fetch_max_bytes=64 * 1024 * 1024,
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    admin = AIOKafkaAdminClient(**options)
    try:
        await consumer.start()
        await admin.start()
        yield _Broker(admin, consumer, sources.topic_prefix)
    except KafkaError as error:
        where = f"{sources.kafka} fails over {options['security_protocol']}"
        message = f"KAFKA_BOOTSTRAP_SERVERS: the broker at {where}: {error!r}"
        raise SourceError(message) from error
    finally:
        await consumer.stop()
        await admin.close()


def _options(sources: Sources) -> dict[str, Any]:
    """Tell how the broker is reached: TLS and login are set as for the services."""
    try:
        return client_options(load(KafkaSettings, kafka_bootstrap_servers=sources.kafka))
    except (ConfigurationError, OSError) as error:
        message = f"the broker's clients: {error}"
        raise SourceError(message) from error


async def read(sources: Sources) -> TopicLog:
    """Read all event topics from their beginning to where they end now."""
    log = TopicLog()
    async with _broker(sources) as broker:
        bounds = await broker.bounds(EVENT_TOPICS)
        log.trimmed = {broker.logical(part.topic) for part, (begin, _) in bounds.items() if begin}
        for part, (begin, end) in {**bounds, **await broker.bounds(COUNTED_TOPICS)}.items():
            log.sizes[broker.logical(part.topic)] += end - begin
        ends = {part: end for part, (begin, end) in bounds.items() if end > begin}
        async for record in _records(broker.consumer, ends):
            place = (broker.logical(record.topic), record.partition, record.offset)
            log.add(place, dict(record.headers))
    return log


async def _records(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    unread = set(ends)
    if unread:
        consumer.assign(unread)
        await consumer.seek_to_beginning(*unread)
    while unread:
        batches = await consumer.getmany(*unread, timeout_ms=200, max_records=BATCH)
        for records in batches.values():
            for record in records:
                yield record
        # the position, not the last record: a compacted offset yields none
        unread = {part for part in unread if await consumer.position(part) < ends[part]}


async def lag(sources: Sources) -> dict[tuple[str, str], int]:
    """Return how many records each group has yet to take, by group and topic; zeros left out."""
    behind: Counter[tuple[str, str]] = Counter()
    async with _broker(sources) as broker:
        for group, heard in HEARD.items():
            committed = await broker.admin.list_consumer_group_offsets(broker.prefix + group)
            bounds = await broker.bounds([*heard, *STATE_TOPICS.get(group, ())])
            for part, (begin, end) in bounds.items():
                known = committed.get(part)
                # -1 is the broker's word for "nothing committed yet"
                taken = known.offset if known and known.offset >= 0 else begin
                behind[group, broker.logical(part.topic)] += max(0, end - taken)
    return {place: records for place, records in behind.items() if records}
