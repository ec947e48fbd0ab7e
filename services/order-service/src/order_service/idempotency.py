"""Idempotency-Key: the answers that are given again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from common import telemetry
from common.database import Database, Transaction
from common.errors import Refusal
from common.idempotency import in_flight, mismatch

from order_service.store import keys
from order_service.store.keys import KeyRow, Slot


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer, byte for byte."""

    status: int
    body: bytes
    order_id: UUID | None
    replayed: bool = False


async def once(
    database: Database, row: KeyRow, effect: Callable[[Transaction], Awaitable[object]]
) -> Answer:
    """Have the effect and store its answer, or give the answer again: one transaction.

    The effect's Refusal undoes both, so that the key is free again.
    """
    async with database.transaction() as tx:
        known = (await claim(tx, [row])).get(row.slot)
        if isinstance(known, Refusal):
            raise known
        if known is None:
            await effect(tx)
    return known or Answer(row.status, row.body, row.order_id)


async def claim(tx: Transaction, wanted: Sequence[KeyRow]) -> dict[Slot, Answer | Refusal]:
    """Take the keys that are free, and answer the others from what is stored.

    A key is free to its caller if it has no answer here. Refuses when another transaction
    holds one of the keys for longer than the lock time-out.
    """
    try:
        added = await keys.add_keys(tx, wanted)
    except asyncpg.LockNotAvailableError:
        raise in_flight() from None
    telemetry.IDEMPOTENCY.labels("new").inc(len(added))
    lost = [row for row in wanted if row.slot not in added]
    stored = await keys.get_keys(tx, [row.slot for row in lost]) if lost else {}
    return {row.slot: _settled(row, stored.get(row.slot)) for row in lost}


async def release(tx: Transaction, slots: Sequence[Slot]) -> None:
    """Free the keys of what was refused, in the transaction that took them."""
    if slots:
        await keys.remove_keys(tx, slots)


def _settled(wanted: KeyRow, stored: KeyRow | None) -> Answer | Refusal:
    if stored is None:  # swept by the retention between the two statements
        return in_flight()
    if stored.fingerprint != wanted.fingerprint:
        return mismatch()
    # Our own order id: the commit of an earlier attempt succeeded and its answer was lost.
    own = stored.order_id is not None and stored.order_id == wanted.order_id
    if not own:
        telemetry.IDEMPOTENCY.labels("replayed").inc()
    return Answer(stored.status, stored.body, stored.order_id, replayed=not own)
