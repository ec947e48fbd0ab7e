"""What an operator sees of parked messages, and the few moves that may be made with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal, NoReturn
from uuid import UUID

import asyncpg

from common import avro, inbox, outbox, parked
from common.audit import Counts
from common.database import Transaction
from common.dead_letter import Record
from common.deciding import Decider
from common.errors import FieldError, Poison, Refusal, UnknownSchema
from common.message import uuid7
from common.parked import ParkedState
from common.reading import Taken

GroupBy = Literal["errorClass", "type", "key"]
Move = Literal["replay", "discard", "restore"]

_TEXT = re.compile(rb"[A-Za-z0-9._~-]{1,200}")
"""Keys that can stand in a path as they are; all others are written in hex."""

# The reader believes the last header of a name, so the last is the message's type.
_PLACES = r"array_positions(header_names, '\x63655f74797065'::bytea)"
TYPE = f"encode(header_values[({_PLACES})[cardinality({_PLACES})]], 'escape')"
SHOWN = (
    'id, state, topic, partition, "offset", key, event_id, error_class, error, attempt, replays, '
    f"parked_at, failed_at, next_at, state_version, {TYPE} AS type"
)
MATCHES = f"""
    ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR error_class = $2)
    AND ($3::text IS NULL OR {TYPE} = $3) AND ($4::bytea IS NULL OR key = $4)
    AND ($5::text IS NULL OR topic = $5) AND ($6::timestamptz IS NULL OR parked_at >= $6)
    AND ($7::timestamptz IS NULL OR parked_at < $7)
"""
_GROUPS = {"errorClass": "error_class", "type": TYPE, "key": "key"}
_MOVES: dict[Move, tuple[frozenset[str], ParkedState]] = {
    "replay": (frozenset({"dead", "skipped"}), "retry"),
    "discard": (frozenset({"retry", "dead", "skipped"}), "discarded"),
    "restore": (frozenset({"discarded"}), "skipped"),
}


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """Which parked messages are meant."""

    state: str | None = None
    error_class: str | None = None
    type_name: str | None = None
    key: bytes | None = None
    topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def arguments(self) -> tuple[object, ...]:
        """Give the values of MATCHES."""
        return (
            self.state,
            self.error_class,
            self.type_name,
            self.key,
            self.topic,
            self.since,
            self.until,
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move found and left."""

    changed: int
    before: Counts
    after: Counts


def shown_key(key: bytes | None) -> str | None:
    """Write a key so that it can be read, and given back in a path."""
    if key is None:
        return None
    return key.decode() if _TEXT.fullmatch(key) else f"hex:{key.hex()}"


def parse_key(text: str) -> bytes | None:
    """Read a key as shown_key wrote it; nothing if it is no such text."""
    if text.startswith("hex:"):
        try:
            return bytes.fromhex(text[4:])
        except ValueError:
            return None
    return text.encode() if _TEXT.fullmatch(text.encode(errors="replace")) else None


async def list_parked(
    tx: Transaction, wanted: ParkedFilter, *, before_id: int | None, limit: int
) -> list[asyncpg.Record]:
    """List parked messages, newest first."""
    return await tx.fetch(
        f"""
        SELECT {SHOWN} FROM parked
         WHERE {MATCHES} AND ($8::bigint IS NULL OR id < $8) ORDER BY id DESC LIMIT $9
        """,  # noqa: S608  constants
        *wanted.arguments,
        before_id,
        limit,
    )


async def group_parked(
    tx: Transaction, wanted: ParkedFilter, by: GroupBy, *, limit: int
) -> list[asyncpg.Record]:
    """Count parked messages by what they have in common, most first."""
    return await tx.fetch(
        f"""
        SELECT {_GROUPS[by]} AS value, count(*) AS count, min(parked_at) AS first_seen,
               max(failed_at) AS last_seen
          FROM parked WHERE {MATCHES} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $8
        """,  # noqa: S608  constants
        *wanted.arguments,
        limit,
    )


async def get_parked(tx: Transaction, row_id: int) -> asyncpg.Record:
    """Read one parked message with its content."""
    row = await tx.fetchrow(
        f"SELECT {SHOWN}, header_names, header_values, payload FROM parked WHERE id = $1",  # noqa: S608  constants
        row_id,
    )
    if row is None:
        _gone()
    return row


async def list_keys(tx: Transaction, *, before_id: int | None, limit: int) -> list[asyncpg.Record]:
    """List the heads of blocked keys, newest first, each with how many wait."""
    return await tx.fetch(
        f"""
        WITH heads AS (
            SELECT DISTINCT ON (key) id, count(*) OVER (PARTITION BY key) AS waiting
              FROM parked WHERE state IN ('retry', 'dead') AND state_version IS NULL
             ORDER BY key, seq, id)
        SELECT {SHOWN}, waiting FROM heads JOIN parked USING (id)
         WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2
        """,  # noqa: S608  constants
        before_id,
        limit,
    )


async def move(tx: Transaction, what: Move, row_id: int) -> Moved:
    """Move one message to another state; the second of two equal moves changes nothing."""
    state = await tx.fetchval("SELECT state FROM parked WHERE id = $1 FOR UPDATE", row_id)
    sources, target = _MOVES[what]
    if state is None:
        _gone()
    if state == target:
        return Moved(0, {state: 1}, {state: 1})
    if state not in sources:
        raise _wrong(f"It is {state}; {what} takes {' or '.join(sorted(sources))}.")
    await _set_state(tx, [row_id], target)
    return Moved(1, {state: 1}, {target: 1})


async def drain(tx: Transaction, key: bytes | None) -> Moved:
    """Have everything that a key waits with tried now, in its order."""
    rows = await _lock_key(tx, key)
    if not rows:
        _gone()
    late = [row["id"] for row in rows if row["state"] == "dead" or row["next_at"] > tx.now]
    await _set_state(tx, late, "retry")
    return Moved(len(late), Counter(row["state"] for row in rows), {"retry": len(rows)})


async def skip_head(
    tx: Transaction, key: bytes | None, head_id: int, *, decider: Decider[Any]
) -> Moved:
    """Set aside the message that a key waits for; it must still be the one that was seen."""
    rows = await _lock_key(tx, key)
    if not rows or rows[0]["id"] != head_id:
        return await _skipped_before(tx, key, head_id)
    before = Counter(row["state"] for row in rows)
    await _set_state(tx, [head_id], "skipped")
    after = before.copy()
    after[rows[0]["state"]] -= 1
    after["skipped"] = 1
    if rows[0]["state"] == "retry":
        # A dead one has its copy already.
        await outbox.insert(tx, [decider.dead_letter(parked.of_row(rows[0]))])
    return Moved(1, before, +after)


async def _skipped_before(tx: Transaction, key: bytes | None, head_id: int) -> Moved:
    state = await tx.fetchval("SELECT state FROM parked WHERE id = $1 AND key = $2", head_id, key)
    if state is None:
        _gone()
    if state != "skipped":
        raise _wrong("Another message stands first now: look at the key again.")
    return Moved(0, {state: 1}, {state: 1})


async def _lock_key(tx: Transaction, key: bytes | None) -> list[asyncpg.Record]:
    return await tx.fetch(
        """
        SELECT * FROM parked WHERE key = $1 AND state IN ('retry', 'dead')
           AND state_version IS NULL ORDER BY seq, id FOR UPDATE
        """,
        key,
    )


def refuse_edits(*, allowed: bool) -> None:
    """Refuse where editing is not switched on."""
    if not allowed:
        raise Refusal(
            "edit_disabled",
            "This service replays messages as they came: set OPS_EDIT=true to let them be edited.",
            status=HTTPStatus.FORBIDDEN,
        )


async def edit(
    tx: Transaction, row_id: int, members: Mapping[str, Any], *, decider: Decider[Any]
) -> tuple[UUID, Moved]:
    """Give a message other content and a new id in its old place, and have it retried."""
    row = await tx.fetchrow("SELECT * FROM parked WHERE id = $1 FOR UPDATE", row_id)
    if row is None:
        _gone()
    if row["state"] not in _MOVES["replay"][0] or row["state_version"] is not None:
        raise _wrong(f"It is {row['state']}; only what is dead or skipped can be edited.")
    event_id = uuid7()
    old = parked.of_row(row)
    record = _edited(old, members, event_id)
    reading = decider.reader.read(record, tx.now)
    if not isinstance(reading, Taken) or reading.received is None:
        raise _unfit(str(getattr(reading, "reason", "this service decides on no such message")))
    await inbox.take_edited(tx, reading, old.seq)
    await tx.execute(
        """
        UPDATE parked SET state = 'retry', attempt = 0, next_at = now(), replays = replays + 1,
               event_id = $2, payload = $3, digest = $4, header_names = $5, header_values = $6
         WHERE id = $1
        """,
        row_id,
        event_id,
        record.value,
        reading.digest,
        [name for name, _ in record.headers],
        [value for _, value in record.headers],
    )
    return event_id, Moved(1, {row["state"]: 1}, {"retry": 1})


def _edited(old: parked.Parked, members: Mapping[str, Any], event_id: UUID) -> Record:
    """Compose the record anew: what is not named stays as it was, if it could be read."""
    headers = dict(old.record.headers)
    try:
        type_name = headers[b"ce_type"].decode()
        payload = avro.compose(old.record.topic, type_name, members, old=old.record.value)
    except (KeyError, UnicodeDecodeError):
        raise _unfit("its header ce_type names no type") from None
    except (Poison, UnknownSchema) as error:
        raise _unfit(str(error)) from error
    cause = str(old.event_id).encode() if old.event_id else headers.get(b"ce_id", b"")
    schema = avro.contract().ids[old.record.topic, type_name]
    new = {
        b"ce_id": str(event_id).encode(),
        b"ce_causationid": cause,
        b"ce_dataschema": f"urn:pedido:schema:{schema}".encode(),
    }
    return replace(old.record, value=payload, headers=list((headers | new).items()))


def _unfit(detail: str) -> Refusal:
    wrong = FieldError("/payload", "invalid", detail)
    return Refusal(
        "validation_failed", "The service could not read it.", status=422, errors=[wrong]
    )


async def _set_state(tx: Transaction, ids: Sequence[int], state: ParkedState) -> None:
    await tx.execute(
        """
        UPDATE parked SET state = $2, next_at = now(),
               attempt = CASE WHEN $2 = 'retry' THEN 0 ELSE attempt END,
               replays = replays + CASE WHEN $2 = 'retry' THEN 1 ELSE 0 END
         WHERE id = ANY($1::bigint[])
        """,
        ids,
        state,
    )


def _gone() -> NoReturn:
    raise Refusal("not_found", "It was handled meanwhile, or never was.", status=404)


def _wrong(detail: str) -> Refusal:
    return Refusal("invalid_state", detail)
