"""What a dead letter looks like on its topic: the record as it came, and why it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.message import uuid7, value
from common.outbox import OutboxRow

_MAX_TEXT = 500
"""Enough to know the error by; a header is no place for a stack trace."""
_MAX_SIZE = 1536 * 1024
"""Bytes of a record that the dead-letter topic surely takes; more came in a compressed batch."""
_PER_HEADER = 8
"""Bytes that a header takes beside its own: two lengths."""


@value
class Record:
    """A Kafka record, untouched; the topic is the logical name, without TOPIC_PREFIX."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record could not be handled, and since when."""

    error_class: str
    error: str
    attempts: int
    first_at: datetime
    last_at: datetime


def escaped(text: str) -> str:
    """Make foreign text safe for a log line, a column and a header."""
    return text.encode("unicode_escape").decode("ascii")[:_MAX_TEXT]


def without_content(record: Record) -> Record:
    """Leave out the value: personal data must not outlive its topic's retention elsewhere."""
    return replace(record, value=None)


def dead_letter(record: Record, failure: Failure, *, group: str) -> OutboxRow:
    """Copy a record for the outside world: key, value and headers to the byte, plus the reason.

    Only the reason if the copy is too large: what the broker refuses makes its key wait for ever.
    Header names that are not UTF-8 are mended when they leave.
    """
    if _size(record) > _MAX_SIZE:
        record = replace(record, key=None, value=None, headers=())
    reason = {
        "kafka_dlt-original-topic": record.topic,
        "kafka_dlt-original-partition": str(record.partition),
        "kafka_dlt-original-offset": str(record.offset),
        "kafka_dlt-original-timestamp": record.timestamp.isoformat(),
        "kafka_dlt-original-consumer-group": group,
        "kafka_dlt-exception-fqcn": failure.error_class,
        "kafka_dlt-exception-message": failure.error,
        "kafka_dlt-attempts": str(failure.attempts),
        "kafka_dlt-first-failure-time": failure.first_at.isoformat(),
        "kafka_dlt-last-failure-time": failure.last_at.isoformat(),
    }
    added = [(name.encode(), value.encode()) for name, value in reason.items()]
    return OutboxRow(
        event_id=uuid7(),
        topic=f"{group}.dlt",
        key=record.key,
        type_name="dead-letter",
        payload=record.value,
        headers=[*record.headers, *added],
    )


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value) + _PER_HEADER for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers
