"""Why a consumer stands still: flooded by its own failures, or paused by an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common.database import Transaction

BELL = "halts"
"""Rung at commit, so that the consumer of this process follows at once."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A row that a restart does not forget; only an operator removes it."""

    reason: str
    since: datetime
    paused_by: UUID | None
    """Nobody, if it halted itself."""


async def find(tx: Transaction, consumer: str) -> Halt | None:
    """Read why this consumer stands still, if it does."""
    row = await tx.fetchrow(
        "SELECT reason, halted_at, paused_by FROM consumer_halts WHERE consumer = $1", consumer
    )
    return Halt(row["reason"], row["halted_at"], row["paused_by"]) if row else None


async def add(
    tx: Transaction, consumer: str, reason: str, *, paused_by: UUID | None = None
) -> bool:
    """Have it stand still; answers whether it did not already, for whatever reason."""
    added = await tx.fetchval(
        """
        INSERT INTO consumer_halts (consumer, reason, paused_by) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING RETURNING consumer
        """,
        consumer,
        reason,
        paused_by,
    )
    tx.ring(BELL)
    return added is not None


async def remove(tx: Transaction, consumer: str) -> bool:
    """Let it go on; answers whether it stood still."""
    removed = await tx.fetchval(
        "DELETE FROM consumer_halts WHERE consumer = $1 RETURNING consumer", consumer
    )
    tx.ring(BELL)
    return removed is not None
