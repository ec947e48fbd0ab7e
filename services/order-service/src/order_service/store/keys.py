"""Rows of idempotency_keys: written in the same transaction as the effect they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from common.database import Transaction


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Where a key counts: the same key of another caller or route is another key."""

    principal: UUID
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What a key stands for: the body that used it, and the answer to give again."""

    slot: Slot
    fingerprint: bytes
    status: int
    body: bytes
    order_id: UUID | None


async def add_keys(tx: Transaction, rows: Sequence[KeyRow]) -> set[Slot]:
    """Insert what is new and tell which; waits for other transactions with the same keys.

    Sorted, so that two instances with the same keys never wait for each other.
    """
    ordered = sorted(rows, key=lambda row: row.slot)
    added = await tx.fetch(
        """
        INSERT INTO idempotency_keys
               (principal, route, key, fingerprint, status, body, order_id, created_at)
        SELECT k.*, now()
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::bytea[],
                      $7::uuid[]) AS k
            ON CONFLICT DO NOTHING
        RETURNING principal, route, key
        """,
        *_columns([row.slot for row in ordered]),
        [row.fingerprint for row in ordered],
        [row.status for row in ordered],
        [row.body for row in ordered],
        [row.order_id for row in ordered],
    )
    return {Slot(row["principal"], row["route"], row["key"]) for row in added}


async def get_keys(tx: Transaction, slots: Sequence[Slot]) -> dict[Slot, KeyRow]:
    """Read what the keys that were there already stand for."""
    found = await tx.fetch(
        """
        SELECT k.principal, k.route, k.key, k.fingerprint, k.status, k.body, k.order_id
          FROM unnest($1::uuid[], $2::text[], $3::text[]) AS wanted (principal, route, key)
          JOIN idempotency_keys k USING (principal, route, key)
        """,
        *_columns(slots),
    )
    rows = (
        KeyRow(
            slot=Slot(row["principal"], row["route"], row["key"]),
            fingerprint=row["fingerprint"],
            status=row["status"],
            body=row["body"],
            order_id=row["order_id"],
        )
        for row in found
    )
    return {row.slot: row for row in rows}


async def remove_keys(tx: Transaction, slots: Sequence[Slot]) -> None:
    """Take back the keys of what was refused: a refusal has no effect to stand for."""
    await tx.execute(
        """
        DELETE FROM idempotency_keys k
         USING unnest($1::uuid[], $2::text[], $3::text[]) AS r (principal, route, key)
         WHERE k.principal = r.principal AND k.route = r.route AND k.key = r.key
        """,
        *_columns(slots),
    )


async def remove_of(tx: Transaction, principals: Sequence[UUID]) -> None:
    """Remove whatever these callers sent keys with: a key is their own text."""
    await tx.execute("DELETE FROM idempotency_keys WHERE principal = ANY ($1)", principals)


async def remove_old(tx: Transaction, *, kept: timedelta, limit: int) -> int:
    """Remove keys that have stood for their answer long enough; answers how many."""
    rows = await tx.fetch(
        """
        DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM idempotency_keys WHERE created_at < now() - $1::interval
             ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))
        RETURNING 1
        """,
        kept,
        limit,
    )
    return len(rows)


async def limit_lock_wait(tx: Transaction, milliseconds: int) -> None:
    """Wait shorter for locks than the role's default, in this transaction only."""
    await tx.execute("SELECT set_config('lock_timeout', $1, true)", f"{milliseconds}ms")


def _columns(slots: Sequence[Slot]) -> tuple[list[UUID], list[str], list[str]]:
    return (
        [slot.principal for slot in slots],
        [slot.route for slot in slots],
        [slot.key for slot in slots],
    )
