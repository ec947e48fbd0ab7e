"""What the API shows of notices and of bounced addresses."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg
from common import searching
from common.database import Transaction

Row: TypeAlias = asyncpg.Record


@dataclass(frozen=True, slots=True)
class NoticeFilter:
    """Which notices are asked for."""

    customer_id: UUID | None = None
    order_id: UUID | None = None
    status: str | None = None
    kind: str | None = None


LIST_NOTICES = """
SELECT id, order_id, customer_id, kind, subject, status, attempt, error, created_at, settled_at
  FROM notifications
 WHERE ($1::uuid IS NULL OR customer_id = $1) AND ($2::uuid IS NULL OR order_id = $2)
   AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR kind = $4)
   AND ($5::timestamptz IS NULL OR (created_at, id) < ($5, $6::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $7
"""


async def list_notices(
    tx: Transaction, wanted: NoticeFilter, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[Row]:
    """List notices, newest first."""
    created_at, notice_id = after or (None, None)
    await searching.plan_afresh(tx)
    return await tx.fetch(
        LIST_NOTICES,
        wanted.customer_id,
        wanted.order_id,
        wanted.status,
        wanted.kind,
        created_at,
        notice_id,
        limit,
    )


async def find_notice(tx: Transaction, notice_id: UUID, owner: UUID | None) -> Row | None:
    return await tx.fetchrow(
        """
        SELECT id, order_id, customer_id, kind, subject, status, attempt, error, created_at,
               settled_at
          FROM notifications WHERE id = $1 AND ($2::uuid IS NULL OR customer_id = $2)
        """,
        notice_id,
        owner,
    )


async def list_attempts(tx: Transaction, notice_id: UUID) -> list[Row]:
    """List what was tried, oldest first; of a notice that is sent again for ever, the newest."""
    return await tx.fetch(
        """
        SELECT at, outcome, code FROM (
            SELECT attempt_id, at, outcome, code FROM attempts
             WHERE notice_id = $1 ORDER BY attempt_id DESC LIMIT 500
        ) newest ORDER BY attempt_id
        """,
        notice_id,
    )


async def find_address(tx: Transaction, customer_id: UUID) -> str | None:
    address: str | None = await tx.fetchval(
        "SELECT email FROM customers WHERE customer_id = $1", customer_id
    )
    return address


async def list_suppressions(
    tx: Transaction,
    only: bytes | None,
    *,
    after: tuple[datetime, bytes] | None,
    limit: int,
) -> list[Row]:
    """List bounced addresses' digests, newest first; only this one, if one is given."""
    created_at, digest = after or (None, None)
    return await tx.fetch(
        """
        SELECT digest, code, created_at FROM suppressions
         WHERE ($1::bytea IS NULL OR digest = $1)
           AND ($2::timestamptz IS NULL OR (created_at, digest) < ($2, $3::bytea))
         ORDER BY created_at DESC, digest DESC LIMIT $4
        """,
        only,
        created_at,
        digest,
        limit,
    )
