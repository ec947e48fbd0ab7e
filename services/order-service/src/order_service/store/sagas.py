"""What operators see of the sagas, and of what holds one up in this service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from common import searching
from common.database import Transaction

from order_service.domain import Health, Order, Status
from order_service.domain.order import UNDER_WAY, UNSETTLED
from order_service.store.orders import order_of

Row = asyncpg.Record


@dataclass(frozen=True, slots=True)
class SagaFilter:
    """Which sagas of a list are meant."""

    health: Health | None = None
    status: Status | None = None


LIST_SAGAS = """
    SELECT * FROM orders
     WHERE ($1::text IS NULL OR saga = $1)
       AND ($2::text IS NULL OR status = $2)
       -- Follows from the two above; said so that the index of the few open orders is used.
       AND (NOT $3::boolean OR settled_at IS NULL)
       AND ($4::timestamptz IS NULL OR (created_at, order_id) < ($4, $5::uuid))
     ORDER BY created_at DESC, order_id DESC
     LIMIT $6
"""


async def find_saga(tx: Transaction, order_id: UUID) -> Order | None:
    """Read one order whole."""
    row = await tx.fetchrow("SELECT * FROM orders WHERE order_id = $1", order_id)
    return order_of(row) if row else None


async def list_sagas(
    tx: Transaction, wanted: SagaFilter, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[Order]:
    """Read a page of sagas, newest order first, from just past the last one shown."""
    await searching.plan_afresh(tx)
    rows = await tx.fetch(LIST_SAGAS, *filters_of(wanted), *(after or (None, None)), limit)
    return [order_of(row) for row in rows]


def filters_of(wanted: SagaFilter) -> tuple[object, ...]:
    unsettled = wanted.health in UNDER_WAY or wanted.status in UNSETTLED
    return (wanted.health, wanted.status, unsettled)


async def list_history(tx: Transaction, order_id: UUID) -> Sequence[Row]:
    """Read an order's history with what operators noted in it."""
    return await tx.fetch(
        """
        SELECT type, occurred_at, service, event_id, causation_id,
               data->>'by' AS by, data->>'note' AS note, data->>'reason' AS reason
          FROM order_events WHERE order_id = $1 ORDER BY version
        """,
        order_id,
    )


async def list_parked(tx: Transaction, order_id: UUID) -> Sequence[Row]:
    """Read which messages of this order this service has taken and not handled, oldest first."""
    return await tx.fetch(
        """
        SELECT id, event_id, topic, state, attempt, error_class, parked_at, next_at FROM parked
         WHERE key = $1 AND state IN ('retry', 'dead', 'skipped') ORDER BY seq LIMIT 20
        """,
        str(order_id).encode(),
    )


async def list_unsent(tx: Transaction, order_id: UUID) -> Sequence[Row]:
    """Read which events of this order have not left this service, oldest first."""
    return await tx.fetch(
        """
        SELECT event_id, type, topic, created_at, refused FROM outbox
         WHERE aggregateid = $1 ORDER BY id LIMIT 20
        """,
        str(order_id).encode(),
    )
