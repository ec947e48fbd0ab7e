"""What is taken and not handled: one row a message, deleted only by whoever handles it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from common import inbox
from common.database import Transaction
from common.dead_letter import Failure, Record, escaped
from common.errors import Poison, UnknownSchema

BELL = "parked"
"""Rung at commit, so that the sweeper of this process knows of a retry at once."""

KEY_LIMIT = 512
"""Bytes of a key that messages can wait for: an index takes 2,700, ours have at most 64."""

_IS_HEAD = """(p.state_version IS NOT NULL OR NOT EXISTS (
                SELECT FROM parked AS o
                 WHERE o.key = p.key AND o.seq < p.seq AND o.state IN ('retry', 'dead')
                   AND o.state_version IS NULL))"""
"""Nothing of the key stands before it."""

_ADD = """
INSERT INTO parked AS p
       (seq, key, event_id, topic, partition, "offset", header_names, header_values,
        payload, digest, recorded_at, state_version, state, attempt, next_at,
        error_class, error, parked_at, failed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now(),
        $15, $16, $17, $18)
    ON CONFLICT DO NOTHING
RETURNING topic, partition, "offset", digest
"""

FORGET = """
WITH removed AS (
    DELETE FROM parked WHERE id = ANY(ARRAY(
        SELECT id FROM parked
         WHERE state IN ('skipped', 'discarded') AND next_at < now() - $1::interval
         ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING id)
SELECT count(*) FROM removed
"""
"""By when it was last moved, which is what next_at tells of a message that has no next try."""

ParkedState = Literal["retry", "dead", "skipped", "discarded"]


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits: in its key's order (retry), for an operator (dead), or aside."""

    record: Record
    seq: int
    event_id: UUID | None
    state: ParkedState
    failure: Failure
    state_version: int | None = None
    row_id: int = 0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how fast a parked message is tried again."""

    first_delay: timedelta
    max_delay: timedelta
    attempts: int
    then: ParkedState = "dead"
    """After the last attempt: its key waits for an operator (dead), or goes on (skipped)."""

    def delay(self, attempt: int) -> timedelta:
        """Wait up to twice as long after each attempt; full jitter keeps retries apart."""
        longest: timedelta = min(self.max_delay, self.first_delay * int(2 ** min(attempt, 30)))
        spread = random.random()  # noqa: S311  spreads load, guards nothing
        return longest * spread


def failure_of(error: BaseException, now: datetime) -> Failure:
    """Describe a first failure by its class and, only where the text is our own, its words."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    ours = isinstance(error, Poison | UnknownSchema)
    return Failure(kind, escaped(str(error) if ours else kind), 1, now, now)


def repeated(failure: Failure, before: Failure) -> Failure:
    """Count a failure on top of those before it."""
    return replace(failure, attempts=before.attempts + 1, first_at=before.first_at)


def waits_behind(now: datetime) -> Failure:
    """Describe a message that did not fail: an earlier one of its key did."""
    return Failure("behind", "an earlier message of this key waits", 0, now, now)


async def blocked_keys(tx: Transaction, keys: Iterable[bytes]) -> set[bytes]:
    """Find the keys whose earlier message waits: what comes later must wait behind it."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT key FROM parked
         WHERE key = ANY($1::bytea[]) AND state IN ('retry', 'dead') AND state_version IS NULL
        """,
        list(set(keys)),
    )
    return {row["key"] for row in rows}


async def add(tx: Transaction, parked: Sequence[Parked]) -> list[Parked]:
    """Park messages in one exchange; answers those that were not parked before.

    A poison record may return, even in the same batch.
    """
    if not parked:
        return []
    if any(each.state == "retry" for each in parked):
        tx.ring(BELL)
    known = {_identity(each.record): each for each in parked}
    rows = await tx.raw.fetchmany(_ADD, [_columns(each) for each in parked])
    return [known[tuple(row)] for row in rows]


def _identity(record: Record) -> tuple[object, ...]:
    return record.topic, record.partition, record.offset, inbox.digest_of(record.value)


def _columns(parked: Parked) -> tuple[object, ...]:
    record, failure = parked.record, parked.failure
    return (
        parked.seq,
        record.key if len(record.key or b"") <= KEY_LIMIT else None,  # poison, which blocks nobody
        parked.event_id,
        record.topic,
        record.partition,
        record.offset,
        [name for name, _ in record.headers],
        [value for _, value in record.headers],
        record.value,
        inbox.digest_of(record.value),
        record.timestamp,
        parked.state_version,
        parked.state,
        failure.attempts,
        failure.error_class,
        failure.error,
        failure.first_at,
        failure.last_at,
    )


async def add_state(tx: Transaction, parked: Parked) -> None:
    """Park a state topic's record: of one key only the newest is worth keeping."""
    await tx.execute(
        "DELETE FROM parked WHERE topic = $1 AND key = $2 AND state_version < $3",
        parked.record.topic,
        parked.record.key,
        parked.state_version,
    )
    await add(tx, [parked])


async def forget_states(tx: Transaction, topic: str, versions: dict[bytes, int]) -> None:
    """Drop parked records of keys of which something as new, or newer, is handled now."""
    await tx.execute(
        """
        DELETE FROM parked USING unnest($2::bytea[], $3::bigint[]) AS h (key, version)
         WHERE parked.topic = $1 AND parked.key = h.key AND parked.state_version <= h.version
        """,
        topic,
        list(versions),
        list(versions.values()),
    )


async def blank(tx: Transaction, topic: str, keys: Sequence[bytes]) -> None:
    """Empty what is set aside of keys that were erased: even unreadable, it is about somebody."""
    await tx.execute(
        "UPDATE parked SET payload = NULL WHERE topic = $1 AND key = ANY($2::bytea[])",
        topic,
        keys,
    )


async def take_heads(tx: Transaction, limit: int) -> list[Parked]:
    """Lock the due messages that nothing of their key stands before; others take the rest.

    Longest due first: by age, those that fail again and again would keep all others from a try.
    """
    rows = await tx.fetch(
        f"""
        SELECT * FROM parked AS p
         WHERE state = 'retry' AND next_at <= now() AND {_IS_HEAD}
         ORDER BY next_at, seq LIMIT $1 FOR UPDATE SKIP LOCKED
        """,  # noqa: S608  a constant
        limit,
    )
    return [of_row(row) for row in rows]


async def take_again(tx: Transaction, before: Parked) -> list[Parked]:
    """Lock a message that was taken before, if it is as it was and nobody else tries it."""
    rows = await tx.fetch(
        """
        SELECT * FROM parked WHERE id = $1 AND state = 'retry' AND attempt = $2
           FOR UPDATE SKIP LOCKED
        """,
        before.row_id,
        before.failure.attempts,
    )
    return [of_row(row) for row in rows]


def of_row(row: asyncpg.Record) -> Parked:
    """Read a whole row of the table."""
    return Parked(
        record=Record(
            topic=row["topic"],
            partition=row["partition"],
            offset=row["offset"],
            timestamp=row["recorded_at"],
            key=row["key"],
            value=row["payload"],
            headers=list(zip(row["header_names"], row["header_values"], strict=True)),
        ),
        seq=row["seq"],
        event_id=row["event_id"],
        state=row["state"],
        failure=Failure(
            row["error_class"], row["error"], row["attempt"], row["parked_at"], row["failed_at"]
        ),
        state_version=row["state_version"],
        row_id=row["id"],
    )


async def note_claims(tx: Transaction, claimed: Mapping[int, UUID]) -> None:
    """Note which rows of poison are claimed now: their next try must not claim them again."""
    await tx.execute(
        """
        UPDATE parked SET event_id = c.event_id
          FROM unnest($1::bigint[], $2::uuid[]) AS c (id, event_id) WHERE parked.id = c.id
        """,
        list(claimed),
        list(claimed.values()),
    )


async def delete(tx: Transaction, parked: Sequence[Parked]) -> None:
    """Drop what this transaction has handled."""
    await tx.execute(
        "DELETE FROM parked WHERE id = ANY($1::bigint[])", [each.row_id for each in parked]
    )


async def failed_again(
    tx: Transaction, parked: Parked, *, state: ParkedState, failure: Failure, delay: timedelta
) -> None:
    """Note another failed attempt, and when the next one is due."""
    await tx.execute(
        """
        UPDATE parked SET state = $2, attempt = $3, error_class = $4, error = $5, failed_at = $6,
               next_at = now() + $7
         WHERE id = $1
        """,
        parked.row_id,
        state,
        failure.attempts,
        failure.error_class,
        failure.error,
        failure.last_at,
        delay,
    )


async def forget(tx: Transaction, older_than: timedelta, *, most: int) -> int:
    """Remove what was set aside so long ago; answers how many messages it was."""
    return int(await tx.fetchval(FORGET, older_than, most))


async def count_blocked_keys(tx: Transaction) -> int:
    """Count the keys that wait behind a failed message."""
    return int(
        await tx.fetchval(
            """
            SELECT count(DISTINCT key) FROM parked
             WHERE state IN ('retry', 'dead') AND state_version IS NULL
            """
        )
    )


async def next_due_in(tx: Transaction) -> float | None:
    """Tell in how many seconds the next retry is due, if any waits for nothing else."""
    seconds = await tx.fetchval(
        f"""
        SELECT extract(epoch FROM min(next_at) - now())::float
          FROM parked AS p WHERE state = 'retry' AND {_IS_HEAD}
        """  # noqa: S608  a constant
    )
    return None if seconds is None else float(seconds)
