"""The saga's timers: loops that sweep what is due by the database's clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

from common.database import Database, Transaction
from common.due import SweepLoop

from order_service import handlers
from order_service.domain import Patience

BATCH = 200
"""Due orders of one transaction: an hour's backlog goes in a few hundred quick ones."""

KEYS_KEPT = timedelta(hours=24)
"""How long a repeated request gets its first answer again."""


class Sweep(Protocol):
    """One use case over what is due."""

    def __call__(self, tx: Transaction, *, limit: int, patience: Patience) -> Awaitable[int]: ...


def loops(database: Database, patience: Patience, *, poll: timedelta) -> list[SweepLoop]:
    """Make one loop a timer, one that counts the orders under way, and two that tidy up."""
    timers: dict[str, Sweep] = {
        "order deadlines": handlers.expire_orders,
        "unanswered closings": handlers.close_again,
        "overdue completions": handlers.call_stuck,
    }
    return [
        *(
            SweepLoop(name, database, _in_transaction(database, sweep, patience), poll)
            for name, sweep in timers.items()
        ),
        SweepLoop("orders under way", database, _measure(database), poll * 5),
        SweepLoop("old keys and tokens", database, _forget(database), poll * 12),
        SweepLoop("erasures", database, _erase_again(database), poll * 12),
    ]


def _in_transaction(
    database: Database, sweep: Sweep, patience: Patience
) -> Callable[[], Awaitable[int]]:
    async def once() -> int:
        async with database.transaction() as tx:
            return await sweep(tx, limit=BATCH, patience=patience)

    return once


def _forget(database: Database) -> Callable[[], Awaitable[int]]:
    async def once() -> int:
        async with database.transaction() as tx:
            return await handlers.forget(tx, limit=BATCH, keys_kept=KEYS_KEPT)

    return once


def _erase_again(database: Database) -> Callable[[], Awaitable[int]]:
    async def once() -> int:
        async with database.transaction() as tx:
            return await handlers.erase_again(tx, limit=BATCH)

    return once


def _measure(database: Database) -> Callable[[], Awaitable[int]]:
    async def once() -> int:
        async with database.transaction() as tx:
            await handlers.measure_open(tx)
        return 0

    return once
