"""Idempotency-Key: its syntax, a body's fingerprint, and the answer that is given again."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import asyncpg
from common import telemetry
from common.database import Transaction
from common.errors import Refusal
from pydantic import BaseModel

from order_service.store import keys
from order_service.store.keys import KeyRow, Slot

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
"""Visible ASCII: what every proxy and log carries unchanged."""

_IN_FLIGHT_RETRY_AFTER = 1.0
"""A transaction that holds a key ends in milliseconds, or at its time-out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer, byte for byte."""

    status: int
    body: bytes
    order_id: UUID | None
    replayed: bool = False


def parse_key(values: Sequence[str]) -> str:
    """Read the header's one value, or refuse."""
    if not values or values[0] == "":
        raise _bad_key("send an Idempotency-Key header, a new random value for each new request")
    if len(values) > 1:
        raise _bad_key("send the Idempotency-Key header once")
    if _KEY.fullmatch(values[0]) is None:
        raise _bad_key("an Idempotency-Key is 1 to 255 visible ASCII characters")
    return values[0]


def fingerprint(body: BaseModel, *scope: str) -> bytes:
    """Digest what a body says, however it was spaced and in whatever order its members came."""
    canonical = "\n".join((*scope, body.model_dump_json()))
    return hashlib.sha256(canonical.encode()).digest()


async def claim(tx: Transaction, wanted: Sequence[KeyRow]) -> dict[Slot, Answer | Refusal]:
    """Take the keys that are free, and answer the others from what is stored.

    A key is free to its caller if it has no answer here. Refuses when another transaction
    holds one of the keys for longer than the lock time-out.
    """
    try:
        added = await keys.add_keys(tx, wanted)
    except asyncpg.LockNotAvailableError:
        raise _in_flight() from None
    telemetry.IDEMPOTENCY.labels("new").inc(len(added))
    lost = [row for row in wanted if row.slot not in added]
    stored = await keys.get_keys(tx, [row.slot for row in lost]) if lost else {}
    return {row.slot: _settled(row, stored.get(row.slot)) for row in lost}


async def release(tx: Transaction, slots: Sequence[Slot]) -> None:
    """Free the keys of what was refused, in the transaction that took them."""
    if slots:
        await keys.remove_keys(tx, slots)


def mismatch() -> Refusal:
    """Make the refusal of a key that stands for another body."""
    telemetry.IDEMPOTENCY.labels("mismatch").inc()
    return Refusal(
        "idempotency_mismatch",
        "this Idempotency-Key was used with another body; use a new key for a new request",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
    )


def _settled(wanted: KeyRow, stored: KeyRow | None) -> Answer | Refusal:
    if stored is None:  # swept by the retention between the two statements
        return _in_flight()
    if stored.fingerprint != wanted.fingerprint:
        return mismatch()
    # Our own order id: the commit of an earlier attempt succeeded and its answer was lost.
    own = stored.order_id is not None and stored.order_id == wanted.order_id
    if not own:
        telemetry.IDEMPOTENCY.labels("replayed").inc()
    return Answer(stored.status, stored.body, stored.order_id, replayed=not own)


def _in_flight() -> Refusal:
    telemetry.IDEMPOTENCY.labels("in_flight").inc()
    return Refusal(
        "idempotency_in_flight",
        "a request with this Idempotency-Key is still being handled; ask again in a moment",
        retry_after=_IN_FLIGHT_RETRY_AFTER,
    )


def _bad_key(detail: str) -> Refusal:
    return Refusal("idempotency_key_required", detail, status=HTTPStatus.BAD_REQUEST)
