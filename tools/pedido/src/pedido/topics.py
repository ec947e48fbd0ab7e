"""Events straight from the topics, decoded, and a group's offsets; no service is asked."""

from __future__ import annotations

import io
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import fastavro
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from common import avro
from common.broker import client_options
from common.settings import KafkaSettings

from pedido.trouble import NO_CONNECTION, Trouble
from pedido.where import Where

EVENTS = ("orders.v1", "inventory.v1", "payments.v1", "notifications.v1")
"""The topics of an order; the state topics hold customers, who are nobody's business here."""

_HEADER = struct.Struct(">bI")
_HIDDEN = frozenset({"payment_method"})
_UNREADABLE = (EOFError, ValueError, IndexError, TypeError, KeyError, struct.error, OverflowError)


@asynccontextmanager
async def consumer(where: Where, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """Connect, or tell that the broker does not answer."""
    kafka = where.kafka
    client = AIOKafkaConsumer(**_options(kafka), group_id=group, enable_auto_commit=False)
    try:
        await client.start()
        yield client
    except KafkaError as error:
        raise _failing(kafka, error) from None
    finally:
        await client.stop()


@asynccontextmanager
async def _admin(where: Where) -> AsyncIterator[AIOKafkaAdminClient]:
    kafka = where.kafka
    admin = AIOKafkaAdminClient(**_options(kafka))
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise _failing(kafka, error) from None
    finally:
        await admin.close()


def _options(kafka: KafkaSettings) -> dict[str, Any]:
    try:
        return client_options(kafka)
    except OSError as error:
        raise Trouble(f"a file of KAFKA_SSL_* is of no use: {error}", NO_CONNECTION) from None


def _failing(kafka: KafkaSettings, error: KafkaError) -> Trouble:
    where = f"{kafka.kafka_bootstrap_servers} fails over {kafka.kafka_security_protocol}"
    return Trouble(f"the broker at {where} ({type(error).__name__})", NO_CONNECTION)


async def read(
    where: Where, *, order: str | None, last: int, follow: bool
) -> AsyncIterator[dict[str, Any]]:
    """Read events in time order; then, if asked to, whatever comes."""
    partitions = await _partitions(where)
    async with consumer(where) as client:
        client.assign(partitions)
        begins = await client.beginning_offsets(partitions)
        ends = await client.end_offsets(partitions)
        for each in partitions:
            begin = begins[each] if order else max(begins[each], ends[each] - last)
            client.seek(each, begin)
        past = [shown async for shown in _until(client, ends, where, order)]
        past.sort(key=lambda shown: str(shown["at"]))
        for shown in past if order else past[-last:]:
            yield shown
        while follow:
            batch = await client.getmany(timeout_ms=500)
            for shown in sorted(_shown(batch, where, order), key=lambda each: str(each["at"])):
                yield shown


async def _until(
    client: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    where: Where,
    order: str | None,
) -> AsyncIterator[dict[str, Any]]:
    unread = {part for part, end in ends.items() if await client.position(part) < end}
    while unread:
        batch = await client.getmany(*unread, timeout_ms=500)
        for shown in _shown(batch, where, order):
            yield shown
        unread = {part for part in unread if await client.position(part) < ends[part]}


async def _partitions(where: Where) -> list[TopicPartition]:
    wanted = [where.prefix + topic for topic in EVENTS]
    async with _admin(where) as admin:
        described = await admin.describe_topics(wanted)
    if missing := [topic["topic"] for topic in described if not topic["partitions"]]:
        raise Trouble(f"the broker has no topic {', '.join(missing)}", NO_CONNECTION)
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


def _shown(
    batch: Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]],
    where: Where,
    order: str | None,
) -> Iterable[dict[str, Any]]:
    key = order.encode() if order else None
    for records in batch.values():
        for record in records:
            if key is None or record.key == key:
                yield _event(record, where.prefix)


def _event(record: ConsumerRecord[bytes, bytes], prefix: str) -> dict[str, Any]:
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    recorded = datetime.fromtimestamp(record.timestamp / 1000, UTC).isoformat()
    return {
        "at": headers.get("ce_time") or recorded,
        "topic": record.topic.removeprefix(prefix),
        "partition": record.partition,
        "offset": record.offset,
        "order": (record.key or b"").decode(errors="replace"),
        "type": headers.get("ce_type"),
        "id": headers.get("ce_id"),
        "causedBy": headers.get("ce_causationid"),
        "value": decoded(record.value),
    }


def decoded(value: bytes | None) -> Any:
    """Decode a frame by its own schema; what can't be is described, never printed raw."""
    if value is None:
        return None
    try:
        magic, schema_id = _HEADER.unpack_from(value)
        if magic != 0 or schema_id not in avro.contract().by_id:
            return f"unreadable: {len(value)} bytes of no known schema"
        schema = avro.contract().by_id[schema_id][1]
        record = fastavro.schemaless_reader(io.BytesIO(value[_HEADER.size :]), schema, None)
    except _UNREADABLE as error:
        return f"unreadable: {len(value)} bytes ({type(error).__name__})"
    if not isinstance(record, dict):
        return f"unreadable: {len(value)} bytes of no record"
    return {name: each for name, each in record.items() if name not in _HIDDEN}


async def group_state(where: Where, group: str) -> str:
    """Ask the broker whether anybody consumes for a group: `Empty` or `Dead` means nobody."""
    async with _admin(where) as admin:
        (answer,) = await admin.describe_consumer_groups([group])
        return str(answer.groups[0][2])


async def set_offsets(where: Where, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Commit these offsets for a group that has no member."""
    wanted = {
        TopicPartition(where.prefix + topic, number): offset
        for (topic, number), offset in offsets.items()
    }
    async with consumer(where, group) as client:
        client.assign(list(wanted))
        await client.commit(wanted)
