"""The inbox: which messages this service has taken; taken is not the same as handled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

from common.database import Database, Transaction
from common.errors import Poison

INBOX_DAYS = 45
"""Longer than Kafka keeps a topic (7 days) or a dead letter (30), with a margin."""

_UUID7 = 7
_AHEAD = timedelta(days=1)
"""The inbox has partitions for two days ahead; a clock that is off by more is a broken producer."""


NextOffsets: TypeAlias = Mapping[tuple[str, int], int]
"""(topic, partition) → the offset after the last record that is handled."""


class Record(Protocol):
    """What the inbox keeps of a message."""

    @property
    def event_id(self) -> UUID: ...
    @property
    def key(self) -> bytes: ...
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: the batch's number, the ids that are new, and ids falsely reused."""

    seq: int
    fresh: frozenset[UUID]
    reused: frozenset[tuple[UUID, bytes]]
    """With the digest of the false content: the true record may come again in the same batch."""


def digest_of(payload: bytes | None) -> bytes:
    """Shorten a payload to the 8 bytes that tell whether a known id has other content."""
    return hashlib.blake2b(payload or b"", digest_size=8).digest()


def check_id(event_id: UUID, now: datetime) -> bool:
    """Tell whether an id can be claimed; one that is older than the inbox can't: it is stale.

    Raises Poison for an id without a time in it, or with one in the future.
    """
    if event_id.version != _UUID7:
        raise Poison(f"ce_id is a UUID of version {event_id.version}, not 7")
    oldest, newest = _window(now)
    made = event_id.int >> 80
    if made > newest:
        raise Poison("ce_id is more than a day ahead of the clock")
    return made >= oldest


@lru_cache(maxsize=4)
def _window(now: datetime) -> tuple[float, float]:
    """Give the bounds of what can be claimed, in ms since 1970; a batch asks with one `now`."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    oldest = midnight - timedelta(days=INBOX_DAYS - 1)
    return oldest.timestamp() * 1000, (now + _AHEAD).timestamp() * 1000


def made_at(event_id: UUID) -> datetime:
    """Tell when an id that was claimed was made."""
    return datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)


_ADVANCE = """
INSERT INTO positions AS p (topic, partition, next_offset)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
            WHERE p.next_offset < excluded.next_offset
"""

_CLAIM = f"""
WITH advanced AS ({_ADVANCE}),
batch AS MATERIALIZED (SELECT nextval('inbox_seq') * 100000 AS seq),
taken AS (
    INSERT INTO inbox (event_id, key, topic, partition, "offset", seq, digest, origin)
    SELECT r.event_id, r.key, r.topic, r.partition, r.at, batch.seq + r.place, r.digest, $11
      FROM batch, unnest($4::uuid[], $5::bytea[], $6::text[], $7::int[], $8::bigint[],
                         $9::bytea[], $10::int[])
                  AS r (event_id, key, topic, partition, at, digest, place)
        ON CONFLICT DO NOTHING
    RETURNING event_id
)
SELECT batch.seq, taken.event_id FROM batch LEFT JOIN taken ON true
"""  # noqa: S608  constants


async def claim(
    tx: Transaction,
    records: Sequence[Record],
    next_offsets: NextOffsets,
    *,
    origin: Literal["topic", "parked"] = "topic",
) -> Claim:
    """Take each message once: in one statement, in id order, so that two claims can't deadlock.

    The same statement notes the positions. Only what comes from its topic is taken in its key's
    order; poison that was parked is taken when it turns out to be readable.
    """
    numbered = sorted(enumerate(records), key=lambda pair: pair[1].event_id)
    rows = await tx.fetch(
        _CLAIM,
        *_columns(next_offsets),
        [record.event_id for _, record in numbered],
        [record.key for _, record in numbered],
        [record.topic for _, record in numbered],
        [record.partition for _, record in numbered],
        [record.offset for _, record in numbered],
        [record.digest for _, record in numbered],
        [place for place, _ in numbered],
        origin,
    )
    fresh = frozenset(row["event_id"] for row in rows if row["event_id"] is not None)
    known = [record for record in records if record.event_id not in fresh]
    return Claim(rows[0]["seq"], fresh, await _reused(tx, known) if known else frozenset())


async def _reused(tx: Transaction, known: Sequence[Record]) -> frozenset[tuple[UUID, bytes]]:
    """Find the known ids that come with other content than the first time."""
    rows = await tx.fetch(
        """
        SELECT r.event_id, r.digest
          FROM unnest($1::uuid[], $2::bytea[]) AS r (event_id, digest)
          JOIN inbox USING (event_id) WHERE inbox.digest <> r.digest AND inbox.origin <> 'edited'
        """,
        [record.event_id for record in known],
        [record.digest for record in known],
    )
    return frozenset((row["event_id"], row["digest"]) for row in rows)


async def take_edited(tx: Transaction, record: Record, seq: int) -> None:
    """Take the new id of an edited message, in the place of the message that it was."""
    await tx.execute(
        """
        INSERT INTO inbox (event_id, key, topic, partition, "offset", seq, digest, origin)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'edited')
        """,
        record.event_id,
        record.key,
        record.topic,
        record.partition,
        record.offset,
        seq,
        record.digest,
    )


async def ensure_partitions(tx: Transaction) -> bool:
    """Make the partitions of the coming days, and drop those past retention.

    Answers whether all of those are gone: one that somebody reads stays.
    """
    await tx.execute("SELECT ensure_inbox_partitions()")
    return not await tx.fetchval(
        """
        SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                        WHERE inhparent = 'inbox'::regclass
                          AND relname < 'inbox_' || to_char(current_date - $1::int, 'YYYYMMDD'))
        """,
        INBOX_DAYS,
    )


async def pass_over(database: Database, next_offsets: NextOffsets) -> None:
    """Note where this database stands after records of which it keeps nothing."""
    await database.fetch(_ADVANCE, *_columns(next_offsets))


def _columns(next_offsets: NextOffsets) -> tuple[list[str], list[int], list[int]]:
    ordered = sorted(next_offsets.items())  # two processes that meet here can't deadlock
    return (
        [topic for (topic, _), _ in ordered],
        [partition for (_, partition), _ in ordered],
        [offset for _, offset in ordered],
    )


async def positions(tx: Transaction) -> NextOffsets:
    """Read where this database stands."""
    rows = await tx.fetch("SELECT topic, partition, next_offset FROM positions")
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
