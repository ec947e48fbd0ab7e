"""Merchants' endpoints: where they are, what they hear, and whether they work."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
from common.database import Transaction

from notification_service.domain.deliveries import EndpointStatus, Health

Row: TypeAlias = asyncpg.Record


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to add; no types means all."""

    endpoint_id: UUID
    url: str
    description: str
    types: tuple[str, ...]
    sealed_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What to change; whatever is None stays as it is."""

    url: str | None = None
    description: str | None = None
    types: tuple[str, ...] | None = None
    status: EndpointStatus | None = None


async def add_endpoint(tx: Transaction, new: NewEndpoint, *, most: int) -> Row | None:
    """Add an endpoint, unless there are so many already."""
    return await tx.fetchrow(
        """
        INSERT INTO endpoints (endpoint_id, url, description, types, secret)
        SELECT $1, $2, $3, $4, $5
         WHERE (SELECT count(*) FROM endpoints WHERE removed_at IS NULL) < $6
        RETURNING *
        """,
        new.endpoint_id,
        new.url,
        new.description,
        list(new.types),
        new.sealed_secret,
        most,
    )


async def find_endpoint(tx: Transaction, endpoint_id: UUID) -> Row | None:
    return await tx.fetchrow(
        "SELECT * FROM endpoints WHERE endpoint_id = $1 AND removed_at IS NULL", endpoint_id
    )


async def list_endpoints(tx: Transaction, *, after: UUID | None, limit: int) -> list[Row]:
    """List endpoints, newest first: their ids tell the time."""
    return await tx.fetch(
        """
        SELECT * FROM endpoints
         WHERE removed_at IS NULL AND ($1::uuid IS NULL OR endpoint_id < $1)
         ORDER BY endpoint_id DESC LIMIT $2
        """,
        after,
        limit,
    )


async def change_endpoint(tx: Transaction, endpoint_id: UUID, change: EndpointChange) -> Row | None:
    """Change an endpoint; one that is made active again begins without a history of failures."""
    return await tx.fetchrow(
        """
        UPDATE endpoints
           SET url = coalesce($2, url), description = coalesce($3, description),
               types = coalesce($4, types), status = coalesce($5, status),
               disabled_reason = CASE WHEN $5 = 'ACTIVE' THEN NULL
                                      WHEN $5 = 'DISABLED' THEN coalesce(disabled_reason, 'by_hand')
                                      ELSE disabled_reason END,
               failing_since = CASE WHEN $5 = 'ACTIVE' THEN NULL ELSE failing_since END,
               failures = CASE WHEN $5 = 'ACTIVE' THEN 0 ELSE failures END,
               held_until = CASE WHEN $5 = 'ACTIVE' THEN NULL ELSE held_until END,
               updated_at = now()
         WHERE endpoint_id = $1 AND removed_at IS NULL RETURNING *
        """,
        endpoint_id,
        change.url,
        change.description,
        None if change.types is None else list(change.types),
        change.status,
    )


async def remove_endpoint(tx: Transaction, endpoint_id: UUID) -> bool:
    """Have an endpoint be no more for everybody; its row goes after its last delivery."""
    tag = await tx.execute(
        """
        UPDATE endpoints SET status = 'DISABLED', removed_at = now()
         WHERE endpoint_id = $1 AND removed_at IS NULL
        """,
        endpoint_id,
    )
    return tag.endswith(" 1")


async def forget_removed(tx: Transaction) -> None:
    """Delete the endpoints that were removed and have no delivery left."""
    await tx.execute(
        """
        DELETE FROM endpoints e
         WHERE removed_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = e.endpoint_id)
        """
    )


async def rotate_secret(
    tx: Transaction, endpoint_id: UUID, sealed: bytes, *, overlap: timedelta
) -> datetime | None:
    """Sign with a new secret, and with the one before for a while; answers until when."""
    until: datetime | None = await tx.fetchval(
        """
        UPDATE endpoints
           SET secret = $2, old_secret = secret, old_secret_until = now() + $3, updated_at = now()
         WHERE endpoint_id = $1 AND removed_at IS NULL RETURNING old_secret_until
        """,
        endpoint_id,
        sealed,
        overlap,
    )
    return until


async def lock_endpoints(tx: Transaction, endpoint_ids: Collection[UUID]) -> None:
    """Lock endpoints before their deliveries: the one order in which anybody does."""
    await tx.execute(
        """
        SELECT FROM endpoints WHERE endpoint_id = ANY($1::uuid[])
         ORDER BY endpoint_id FOR NO KEY UPDATE
        """,
        sorted(endpoint_ids),
    )


async def save_health(
    tx: Transaction, found: Sequence[Health], *, disable_after: timedelta
) -> list[Row]:
    """Note whether endpoints work; answers those that are given up, and why.

    One that fails is left alone for a while, from two seconds to five minutes.
    """
    return await tx.fetch(
        """
        UPDATE endpoints e
           SET failing_since = CASE WHEN h.works THEN NULL ELSE coalesce(failing_since, now()) END,
               failures = CASE WHEN h.works THEN 0 ELSE failures + 1 END,
               held_until = CASE WHEN h.works THEN NULL
                            ELSE now() + least(interval '1 second' * 2 ^ least(failures + 1, 9),
                                               interval '5 minutes') END,
               status = CASE WHEN h.gone OR (NOT h.works AND failing_since < now() - $4::interval)
                             THEN 'DISABLED' ELSE status END,
               disabled_reason = CASE WHEN h.gone THEN 'gone'
                                      WHEN NOT h.works AND failing_since < now() - $4::interval
                                      THEN 'failing' END
          FROM unnest($1::uuid[], $2::boolean[], $3::boolean[]) AS h (endpoint_id, works, gone)
         WHERE e.endpoint_id = h.endpoint_id AND e.status = 'ACTIVE'
           AND (NOT h.works OR h.gone OR e.failing_since IS NOT NULL)
        RETURNING e.endpoint_id, e.status, e.disabled_reason
        """,
        [each.endpoint_id for each in found],
        [each.works for each in found],
        [each.gone for each in found],
        disable_after,
    )
