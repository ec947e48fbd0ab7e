"""What happened to watched orders since their watchers looked last: one statement for all."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import asyncpg
from common.database import Database

Row = asyncpg.Record


async def list_news(database: Database, known: Mapping[UUID, int]) -> list[Row]:
    """Read all events of these orders past the version that is known, oldest first."""
    return await database.fetch(
        """
        SELECT e.order_id, e.version, e.type, e.service, e.event_id, e.occurred_at, e.recorded_at,
               e.data::text AS data
          FROM unnest($1::uuid[], $2::int[]) AS w (order_id, version)
          JOIN order_events AS e ON e.order_id = w.order_id AND e.version > w.version
         ORDER BY e.order_id, e.version
        """,
        list(known),
        list(known.values()),
    )
