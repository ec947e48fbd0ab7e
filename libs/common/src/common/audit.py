"""Who did what to a service by hand: one row a write, in the write's own transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from common import telemetry
from common.database import Transaction

Counts = Mapping[str, int]
"""Rows by state: what an act found, and what it left."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which acts are asked for."""

    action: str | None = None
    target: str | None = None
    principal: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


async def write(
    tx: Transaction,
    principal: UUID,
    action: str,
    *,
    target: str,
    note: str | None,
    before: Counts,
    after: Counts,
) -> int:
    """Note an act; answers the row's id."""
    row_id: int = await tx.fetchval(
        """
        INSERT INTO ops_audit (principal, action, target, note, before, after, correlation_id)
        VALUES ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7) RETURNING id
        """,
        principal,
        action,
        target,
        note,
        json.dumps(dict(before)),
        json.dumps(dict(after)),
        telemetry.correlation_id.get(),
    )
    return row_id


async def list_acts(
    tx: Transaction, wanted: AuditFilter, *, before_id: int | None, limit: int
) -> list[asyncpg.Record]:
    """List acts, newest first."""
    return await tx.fetch(
        """
        SELECT id, at, principal, action, target, note, before::text, after::text, correlation_id
          FROM ops_audit
         WHERE ($1::bigint IS NULL OR id < $1)
           AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR target = $4)
           AND ($5::uuid IS NULL OR principal = $5)
           AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
         ORDER BY id DESC LIMIT $2
        """,
        before_id,
        limit,
        wanted.action,
        wanted.target,
        wanted.principal,
        wanted.since,
        wanted.until,
    )
