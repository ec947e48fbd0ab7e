"""How far the outbox is behind, at the price of a look at its first row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from common.database import Database


@dataclass(frozen=True, slots=True)
class Behind:
    """What is announced and not sent; rows that the broker refuses, and their keys, apart."""

    oldest: int | None
    newest: int
    age: timedelta

    @property
    def rows(self) -> int:
        """Estimate how many wait: ids given out since the oldest."""
        return 0 if self.oldest is None else self.newest - self.oldest + 1


async def find_oldest(database: Database, floor: int) -> Behind:
    """Look at the first row above the floor, which spares the dead ones that it has been over."""
    (row,) = await database.fetch(
        """
        SELECT o.id AS oldest, coalesce(s.newest, 0) AS newest, now() - o.created_at AS age
          FROM pg_sequence_last_value('outbox_id_seq'::regclass) AS s (newest)
          LEFT JOIN LATERAL (
               SELECT id, created_at FROM outbox
                WHERE id > $1 AND refused IS NULL
                  AND NOT EXISTS (SELECT FROM outbox AS r
                                   WHERE r.refused IS NOT NULL
                                     AND r.aggregateid = outbox.aggregateid)
                ORDER BY id LIMIT 1
               ) AS o ON true
        """,
        floor,
    )
    return Behind(row["oldest"], row["newest"], row["age"] or timedelta())
