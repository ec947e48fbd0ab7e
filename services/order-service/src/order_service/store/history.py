"""The orders' histories as they were written, to fold them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from common.database import Transaction

from order_service.domain import FACTS, Recorded


async def list_order_ids(tx: Transaction, *, after: UUID | None, limit: int) -> list[UUID]:
    """List the next orders that have a history, in id order."""
    rows = await tx.fetch(
        """
        SELECT order_id FROM order_events
         WHERE version = 1 AND ($1::uuid IS NULL OR order_id > $1)
         ORDER BY order_id LIMIT $2
        """,
        after,
        limit,
    )
    return [row["order_id"] for row in rows]


async def get_histories(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, list[Recorded]]:
    """Read histories from their first event to their last."""
    histories: dict[UUID, list[Recorded]] = defaultdict(list)
    for row in await tx.fetch(
        """
        SELECT order_id, type, data::text AS data, recorded_at FROM order_events
         WHERE order_id = ANY($1) ORDER BY order_id, version
        """,
        order_ids,
    ):
        fact = FACTS[row["type"]].model_validate_json(row["data"])
        histories[row["order_id"]].append(Recorded(fact, row["recorded_at"]))
    return dict(histories)
