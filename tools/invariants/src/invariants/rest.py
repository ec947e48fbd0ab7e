"""Waits until nothing moves any more: orders, refunds, outboxes, parked messages, e-mails, lag."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from invariants import topics
from invariants.history import GOOD_ENDS
from invariants.sources import Connection, Sources

POLL_SECONDS = 0.5

MOVING = """
    SELECT (SELECT count(*) FROM orders.orders) AS orders,
      (SELECT count(*) FROM orders.orders WHERE NOT (
         status = ANY($1::text[])
         OR status IN ('REJECTED', 'EXPIRED', 'CANCELLED') AND saga = 'COMPENSATED')) AS unsettled,
      (SELECT count(*) FROM orders.refunds WHERE state = 'REQUESTED') AS refunding,
      (SELECT count(*) FROM orders.outbox) + (SELECT count(*) FROM inventory.outbox)
        + (SELECT count(*) FROM payments.outbox)
        + (SELECT count(*) FROM notifications.outbox) AS outbox,
      (SELECT count(*) FROM orders.parked WHERE state = 'retry')
        + (SELECT count(*) FROM inventory.parked WHERE state = 'retry')
        + (SELECT count(*) FROM payments.parked WHERE state = 'retry')
        + (SELECT count(*) FROM notifications.parked WHERE state = 'retry') AS parked,
      (SELECT count(*) FROM notifications.notifications
         WHERE status NOT IN ('SENT', 'FAILED', 'SUPPRESSED')) AS unsent
"""


@dataclass(frozen=True, slots=True)
class Moving:
    """How much is still on its way."""

    orders: int
    unsettled: int
    refunding: int
    outbox: int
    parked: int
    unsent: int
    lag: int | None = None
    """Asked for only once the databases are quiet: it costs a dozen requests."""

    @property
    def databases_rest(self) -> bool:
        on_its_way = (self.unsettled, self.refunding, self.outbox, self.parked, self.unsent)
        return not any(on_its_way)

    @property
    def settled(self) -> int:
        return self.orders - self.unsettled


async def wait(
    db: Connection,
    sources: Sources,
    *,
    deadline: timedelta,
    progress: Callable[[Moving], None],
) -> Moving:
    """Watch until everything rests or the deadline is over; the last look tells which."""
    clock = asyncio.get_running_loop()
    until = clock.time() + deadline.total_seconds()
    rested = False
    while True:
        moving = await look(db, sources)
        progress(moving)
        rests = moving.databases_rest and moving.lag == 0
        # Twice: a record taken between the counts and the lag is in neither of one look.
        if (rests and rested) or clock.time() >= until:
            return moving
        rested = rests
        await asyncio.sleep(POLL_SECONDS)


async def look(db: Connection, sources: Sources) -> Moving:
    """Count what moves, once."""
    row = await db.fetchrow(MOVING, list(GOOD_ENDS))
    if row is None:
        message = "a SELECT of counts has one row"
        raise AssertionError(message)
    moving = Moving(**row)
    if not moving.databases_rest:
        return moving
    return Moving(**row, lag=sum((await topics.lag(sources)).values()))
