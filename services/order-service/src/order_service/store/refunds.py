"""Refunds: rows that follow from the orders' histories, as the orders' own rows do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from common.database import Transaction
from pydantic import TypeAdapter

from order_service.domain import Refund, RefundState
from order_service.messages import StockLine

_LINES = TypeAdapter(tuple[StockLine, ...])

_COLUMNS = """refund_id, order_id, amount, currency, state, reason, requested_by, requested_at,
              updated_at, lines::text AS lines, restock, code"""


async def get_refunds(tx: Transaction, refund_ids: Sequence[UUID]) -> list[Refund]:
    """Read refunds by their ids; those that are not there are left out."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM refunds WHERE refund_id = ANY($1)",  # noqa: S608  our own columns
        refund_ids,
    )
    return [_refund_of(row) for row in rows]


async def list_of_order(tx: Transaction, order_id: UUID) -> list[Refund]:
    """Read all refunds of one order."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM refunds WHERE order_id = $1",  # noqa: S608  our own columns
        order_id,
    )
    return [_refund_of(row) for row in rows]


async def list_page(
    tx: Transaction, order_id: UUID, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[Refund]:
    """Read a page of an order's refunds, newest first, from just past the last one shown."""
    requested_at, refund_id = after or (None, None)
    rows = await tx.fetch(
        f"""
        SELECT {_COLUMNS} FROM refunds
         WHERE order_id = $1
           AND ($2::timestamptz IS NULL OR (requested_at, refund_id) < ($2, $3::uuid))
         ORDER BY requested_at DESC, refund_id DESC
         LIMIT $4
        """,  # noqa: S608  our own columns
        order_id,
        requested_at,
        refund_id,
        limit,
    )
    return [_refund_of(row) for row in rows]


async def age_of_oldest_open(tx: Transaction) -> float:
    """Tell for how many seconds the oldest refund has had no answer; 0 if none is open."""
    age: float = await tx.fetchval(
        """
        SELECT coalesce(extract(epoch FROM now() - min(updated_at)), 0)::float
          FROM refunds WHERE state = 'REQUESTED'
        """
    )
    return age


async def save_refunds(tx: Transaction, refunds: Iterable[Refund]) -> None:
    """Write refunds whole, new ones and known ones alike; their orders are locked."""
    rows = list(refunds)
    await tx.execute(
        """
        INSERT INTO refunds (refund_id, order_id, amount, currency, state, reason, requested_by,
                             requested_at, updated_at, lines, restock, code)
        SELECT r.refund_id, r.order_id, r.amount, r.currency, r.state, r.reason, r.requested_by,
               r.requested_at, r.updated_at, r.lines::jsonb, r.restock, r.code
          FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                      $7::text[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bool[],
                      $12::text[])
               AS r (refund_id, order_id, amount, currency, state, reason, requested_by,
                     requested_at, updated_at, lines, restock, code)
            ON CONFLICT (refund_id) DO UPDATE
           SET state = excluded.state, code = excluded.code, updated_at = excluded.updated_at
        """,
        [refund.refund_id for refund in rows],
        [refund.order_id for refund in rows],
        [refund.amount for refund in rows],
        [refund.currency for refund in rows],
        [refund.state for refund in rows],
        [refund.reason for refund in rows],
        [refund.requested_by for refund in rows],
        [refund.requested_at for refund in rows],
        [refund.updated_at for refund in rows],
        [_LINES.dump_json(refund.lines).decode() for refund in rows],
        [refund.restock for refund in rows],
        [refund.code for refund in rows],
    )


async def remove_refunds(tx: Transaction, order_ids: Sequence[UUID]) -> None:
    """Clear the refunds of these orders, in the transaction that writes them anew."""
    await tx.execute("DELETE FROM refunds WHERE order_id = ANY($1)", order_ids)


def _refund_of(row: asyncpg.Record) -> Refund:
    known = dict(row)
    lines = _LINES.validate_json(known.pop("lines"))
    return Refund(**known | {"state": RefundState(known["state"]), "lines": lines})
