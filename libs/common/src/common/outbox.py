"""The outbox: events announced in the caller's own transaction, carried to Kafka by the relay."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from uuid import UUID

from common import avro, telemetry
from common.database import Transaction
from common.message import Said, Tombstone, value

BELL = "outbox"
"""Rung at commit, so that the relay of this process need not wait for its next poll."""

SHARDS = 8
"""Fixed for ever: two relays that disagreed on a key's shard would reorder it."""

_SEED, _MIX, _32_BITS = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
"""murmur2's, as Kafka has them."""

_COLUMNS = (
    "event_id",
    "shard",
    "topic",
    "aggregatetype",
    "aggregateid",
    "type",
    "payload",
    "header_names",
    "header_values",
)


@value
class OutboxRow:
    """A finished record: the relay adds nothing to it."""

    event_id: UUID
    topic: str
    key: bytes | None
    type_name: str
    payload: bytes | None
    headers: Sequence[tuple[bytes, bytes]]


async def append(tx: Transaction, said: Iterable[Said]) -> None:
    """Announce events: they leave if, and only if, this transaction commits.

    Call it after the aggregates' rows are locked: then the ids of one key are in order. They are
    drawn under the table's lock, which lasts as long as the transaction: the relay's floor rests on
    that.
    """
    now = datetime.now(UTC).isoformat().encode()
    await insert(tx, [_finished(each, now) for each in said])


async def insert(tx: Transaction, rows: Sequence[OutboxRow]) -> None:
    """Store finished records in this order, with one COPY for all."""
    if not rows:
        return
    await tx.raw.copy_records_to_table(
        "outbox",
        columns=_COLUMNS,
        records=[
            (
                row.event_id,
                key_hash(row.key) % SHARDS if row.key is not None else 0,
                row.topic,
                row.topic.split(".")[0],
                row.key,
                row.type_name,
                row.payload,
                [name for name, _ in row.headers],
                [value for _, value in row.headers],
            )
            for row in rows
        ],
    )
    tx.ring(BELL)


async def withdraw(tx: Transaction, topic: str, key: str) -> None:
    """Drop what is announced of a key and has not left yet; what is on its way arrives."""
    await tx.execute(
        "DELETE FROM outbox WHERE topic = $1 AND aggregateid = $2", topic, key.encode()
    )


def key_hash(key: bytes) -> int:
    """Hash a key as Kafka's Java client does, with murmur2; in Python, so each key once."""
    return _usual_hash(key) if len(key) <= _USUAL else _murmur2(key)


def _murmur2(key: bytes) -> int:
    """Hash anew; aiokafka's own takes twice as long: it puts words together from bytes."""
    words, rest = divmod(len(key), 4)
    h = _SEED ^ len(key)
    for word in struct.unpack_from(f"<{words}I", key):
        k = word * _MIX & _32_BITS
        h = (h * _MIX ^ (k ^ k >> 24) * _MIX) & _32_BITS
    if rest:
        h = (h ^ int.from_bytes(key[-rest:], "little")) * _MIX & _32_BITS
    h = (h ^ h >> 13) * _MIX & _32_BITS
    return (h ^ h >> 15) & 0x7FFFFFFF


_USUAL = 64
"""Bytes of a key that is remembered: those of dead letters may be as long as a record."""
_usual_hash = lru_cache(maxsize=8192)(_murmur2)


def _finished(said: Said, now: bytes) -> OutboxRow:
    event = said.event
    if isinstance(event, Tombstone):
        topic, type_name, payload = event.topic, event.type_name, None
        key = event.key.encode()
    else:
        topic, type_name, payload = event.TOPIC, event.type_name(), avro.encode(event)
        key = event.key().encode()
    shared = _headers_of_type(topic, type_name, tombstone=payload is None)
    headers = [*shared, *_own_headers(said, key, now)]
    return OutboxRow(said.event_id, topic, key, type_name, payload, headers)


@cache
def _headers_of_type(
    topic: str, type_name: str, *, tombstone: bool
) -> tuple[tuple[bytes, bytes], ...]:
    headers = {
        "ce_specversion": "1.0",
        "ce_source": f"/{avro.source_of(topic)}",
        "ce_type": type_name,
        "content-type": "application/avro",
    }
    if not tombstone:
        headers["ce_dataschema"] = f"urn:pedido:schema:{avro.contract().ids[topic, type_name]}"
    return tuple((name.encode(), value.encode()) for name, value in headers.items())


def _own_headers(said: Said, key: bytes, now: bytes) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"ce_id", str(said.event_id).encode()),
        (b"ce_subject", key),
        (b"ce_time", now),
    ]
    # Captured here: by the time the relay sends it, the request is long over.
    correlation, traceparent = telemetry.correlation_id.get(), telemetry.traceparent.get()
    if cause := said.cause:
        correlation, traceparent = cause.correlation_id, cause.traceparent
        if cause.event_id:
            headers.append((b"ce_causationid", str(cause.event_id).encode()))
    if correlation:
        headers.append((b"ce_correlationid", correlation.encode()))
    if traceparent:
        headers.append((b"traceparent", traceparent.encode()))
    if said.version is not None:
        headers.append((b"ce_version", str(said.version).encode()))
    return headers
