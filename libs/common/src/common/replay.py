"""Replay jobs: parked messages put back for retry at a measured pace, each job a row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from uuid import UUID

import asyncpg

from common import audit, repair
from common.database import Database, Transaction
from common.due import SweepLoop
from common.errors import Refusal
from common.repair import MATCHES, SHOWN, TYPE, ParkedFilter

LOOP_CAP = 5
"""A message that failed this many replays needs a mended service or an operator, not a sixth."""

SHOWN_LEFT_OUT = 100
"""Left-out rows that a job names; the rest is only counted."""

BELL = "replay"
"""Rung at commit, so that the loop of this process begins at once."""

_POLL = timedelta(seconds=5)
_SAMPLE = 10
_READ = "SELECT *, filter::text AS asked FROM replay_jobs WHERE job_id = $1"
_READ_AND_LOCK = f"{_READ} FOR UPDATE"
_REPLAYABLE = "state IN ('dead', 'skipped')"

NEXT = f"""
SELECT id, seq, replays FROM parked
 WHERE {MATCHES} AND {_REPLAYABLE} AND id <= $8 AND (seq, id) > ($9, $10)
 ORDER BY seq, id LIMIT $11 FOR UPDATE
"""  # noqa: S608  constants


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it was asked for."""

    job_id: UUID
    created_by: UUID
    idempotency_key: str
    fingerprint: bytes
    answer: bytes
    """What the key's next request gets, too."""
    wanted: ParkedFilter
    rate: float
    most: int
    note: str | None
    matched: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job would do: counts of what it would replay, and what it would leave out."""

    matched: int
    left_out: int
    by_state: Mapping[str, int]
    by_type: Mapping[str, int]
    by_error_class: Mapping[str, int]
    sample: list[asyncpg.Record]
    """The first that it would replay."""


async def plan(tx: Transaction, wanted: ParkedFilter) -> Plan:
    """Count what a job of this filter would find now."""
    rows = await tx.fetch(
        f"""
        SELECT state, {TYPE} AS type, error_class, count(*) AS n,
               count(*) FILTER (WHERE replays >= $8) AS looped
          FROM parked WHERE {MATCHES} AND {_REPLAYABLE} GROUP BY 1, 2, 3
        """,  # noqa: S608  constants
        *wanted.arguments,
        LOOP_CAP,
    )
    return Plan(
        matched=sum(row["n"] for row in rows),
        left_out=sum(row["looped"] for row in rows),
        by_state=_summed(rows, "state"),
        by_type=_summed(rows, "type"),
        by_error_class=_summed(rows, "error_class"),
        sample=await tx.fetch(
            f"""
            SELECT {SHOWN} FROM parked WHERE {MATCHES} AND {_REPLAYABLE} AND replays < $8
             ORDER BY seq, id LIMIT {_SAMPLE}
            """,  # noqa: S608  constants
            *wanted.arguments,
            LOOP_CAP,
        ),
    )


def _summed(rows: list[asyncpg.Record], column: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        name = str(row[column] or "")
        counts[name] = counts.get(name, 0) + row["n"] - row["looped"]
    return {name: count for name, count in counts.items() if count}


async def find_by_key(tx: Transaction, created_by: UUID, key: str) -> asyncpg.Record | None:
    """Find the job that an Idempotency-Key stands for."""
    return await tx.fetchrow(
        """
        SELECT job_id, fingerprint, answer FROM replay_jobs
         WHERE created_by = $1 AND idempotency_key = $2
        """,
        created_by,
        key,
    )


async def add_job(tx: Transaction, job: NewJob) -> bool:
    """Store a job; answers whether its key was free. Waits for whoever else holds the key."""
    added = await tx.fetchval(
        """
        INSERT INTO replay_jobs (job_id, created_by, idempotency_key, fingerprint, answer, state,
               filter, rate, max, note, matched, up_to)
        SELECT $1, $2, $3, $4, $5, 'RUNNING', $6::text::jsonb, $7, $8, $9, $10,
               coalesce(max(id), 0) FROM parked
            ON CONFLICT DO NOTHING RETURNING job_id
        """,
        job.job_id,
        job.created_by,
        job.idempotency_key,
        job.fingerprint,
        job.answer,
        json.dumps(dumped(job.wanted)),
        job.rate,
        job.most,
        job.note,
        job.matched,
    )
    tx.ring(BELL)
    return added is not None


async def get_job(tx: Transaction, job_id: UUID, *, lock: bool = False) -> asyncpg.Record:
    """Read a job, or refuse with 404."""
    row = await tx.fetchrow(
        _READ_AND_LOCK if lock else _READ,
        job_id,
    )
    if row is None:
        raise Refusal("not_found", "There is no such job.", status=HTTPStatus.NOT_FOUND)
    return row


async def list_jobs(tx: Transaction, *, before_id: UUID | None, limit: int) -> list[asyncpg.Record]:
    """List jobs, newest first: their ids are in order of time."""
    return await tx.fetch(
        """
        SELECT *, filter::text AS asked FROM replay_jobs
         WHERE $1::uuid IS NULL OR job_id < $1 ORDER BY job_id DESC LIMIT $2
        """,
        before_id,
        limit,
    )


async def end_job(tx: Transaction, job_id: UUID, state: str) -> None:
    """End a job: done, or cancelled."""
    await tx.execute(
        "UPDATE replay_jobs SET state = $2, finished_at = now() WHERE job_id = $1", job_id, state
    )


def loop(database: Database) -> SweepLoop:
    """Make the loop that works jobs off; a restart goes on where the row says."""
    return SweepLoop("replay", database, partial(step, database), _POLL, bell=BELL)


async def step(database: Database) -> int:
    """Take each due job one step further; answers how many were due."""
    async with database.transaction() as tx:
        jobs = await tx.fetch(
            """
            SELECT *, filter::text AS asked FROM replay_jobs
             WHERE state = 'RUNNING' AND next_at <= now()
             ORDER BY next_at LIMIT 10 FOR UPDATE SKIP LOCKED
            """
        )
        for job in jobs:
            await _advance(tx, job)
    return len(jobs)


async def _advance(tx: Transaction, job: asyncpg.Record) -> None:
    """Put the next rows back, in the order in which they came: so each key keeps its order."""
    left = job["max"] - job["replayed"]
    limit = min(left, math.ceil(job["rate"]))
    rows = await tx.fetch(
        NEXT,
        *_loaded(job["asked"]).arguments,
        job["up_to"],
        job["after_seq"],
        job["after_id"],
        limit,
    )
    fresh = [row["id"] for row in rows if row["replays"] < LOOP_CAP]
    looped = [row["id"] for row in rows if row["replays"] >= LOOP_CAP]
    await tx.execute(
        """
        UPDATE parked SET state = 'retry', attempt = 0, next_at = now(), replays = replays + 1
         WHERE id = ANY($1::bigint[])
        """,
        fresh,
    )
    await _note_progress(tx, job, rows, fresh, looped)
    if len(rows) < limit or len(fresh) == left:
        await _finish(tx, job, len(fresh), len(looped))


async def _note_progress(
    tx: Transaction,
    job: asyncpg.Record,
    rows: list[asyncpg.Record],
    fresh: list[int],
    looped: list[int],
) -> None:
    await tx.execute(
        f"""
        UPDATE replay_jobs
           SET replayed = replayed + $2, left_out = left_out + $3,
               left_out_ids = (left_out_ids || $4::bigint[])[1:{SHOWN_LEFT_OUT}],
               after_seq = $5, after_id = $6,
               next_at = now() + make_interval(secs => $7)
         WHERE job_id = $1
        """,  # noqa: S608  a constant
        job["job_id"],
        len(fresh),
        len(looped),
        looped,
        rows[-1]["seq"] if rows else job["after_seq"],
        rows[-1]["id"] if rows else job["after_id"],
        len(fresh) / job["rate"],
    )


async def _finish(tx: Transaction, job: asyncpg.Record, fresh: int, looped: int) -> None:
    await end_job(tx, job["job_id"], "DONE")
    await audit.write(
        tx,
        job["created_by"],
        "replay-job.finish",
        target=str(job["job_id"]),
        note=job["note"],
        before={"matched": job["matched"]},
        after={"replayed": job["replayed"] + fresh, "leftOut": job["left_out"] + looped},
    )


def dumped(wanted: ParkedFilter) -> dict[str, str | None]:
    """Write a filter down as it was asked for."""
    return {
        "state": wanted.state,
        "errorClass": wanted.error_class,
        "type": wanted.type_name,
        "key": repair.shown_key(wanted.key),
        "topic": wanted.topic,
        "from": wanted.since.isoformat() if wanted.since else None,
        "to": wanted.until.isoformat() if wanted.until else None,
    }


def _loaded(asked: str) -> ParkedFilter:
    """Read a job's filter back."""
    kept = json.loads(asked)
    return ParkedFilter(
        state=kept["state"],
        error_class=kept["errorClass"],
        type_name=kept["type"],
        key=repair.parse_key(kept["key"]) if kept["key"] is not None else None,
        topic=kept["topic"],
        since=datetime.fromisoformat(kept["from"]) if kept["from"] else None,
        until=datetime.fromisoformat(kept["to"]) if kept["to"] else None,
    )
