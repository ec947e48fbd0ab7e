"""Orders and their history: one statement to add or to change any number of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import itemgetter
from uuid import UUID

import asyncpg
from common.database import Transaction

from order_service.domain import Entry, Health, Order, Payment, Status, Stock

_values_of = itemgetter(*(field.name for field in fields(Order)))
"""Read by name: a column that a newer version added is none of our business."""


async def put_orders(tx: Transaction, orders: Sequence[Order]) -> None:
    """Write whole orders, over their rows if they have some.

    Nothing is deleted: whoever waits for the lock of a deleted row finds no order at all.
    """
    await tx.execute(
        """
        INSERT INTO orders
               (order_id, customer_id, status, saga, stock, payment, reason, closed_by,
                stock_closed, payment_closed, total, currency, amount_captured, amount_refunded,
                noted, stuck_reason, version, deadline_at, stuck_at, closing_since,
                closing_attempts, closing_due_at, created_at, updated_at, confirmed_at,
                completed_at, settled_at, offer, own_deadline_at)
        SELECT o.order_id, o.customer_id, o.status, o.saga, o.stock, o.payment, o.reason,
               o.closed_by, o.stock_closed, o.payment_closed, o.total, o.currency,
               o.amount_captured, o.amount_refunded, string_to_array(o.noted, ' '),
               o.stuck_reason, o.version, o.deadline_at, o.stuck_at, o.closing_since,
               o.closing_attempts, o.closing_due_at, o.created_at, o.updated_at, o.confirmed_at,
               o.completed_at, o.settled_at, o.offer::jsonb, o.own_deadline_at
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                      $7::text[], $8::bool[], $9::bool[], $10::bigint[], $11::bigint[],
                      $12::text[], $13::text[], $14::int[], $15::timestamptz[],
                      $16::timestamptz[], $17::timestamptz[], $18::int[], $19::timestamptz[],
                      $20::timestamptz[], $21::timestamptz[], $22::timestamptz[],
                      $23::timestamptz[], $24::bigint[], $25::text[], $26::timestamptz[],
                      $27::uuid[], $28::text[], $29::timestamptz[])
               AS o (order_id, status, saga, stock, payment, reason, closed_by, stock_closed,
                     payment_closed, amount_captured, amount_refunded, noted, stuck_reason,
                     version, deadline_at, stuck_at, closing_since, closing_attempts,
                     closing_due_at, updated_at, confirmed_at, completed_at, settled_at, total,
                     offer, own_deadline_at, customer_id, currency, created_at)
            ON CONFLICT (order_id) DO UPDATE
           SET customer_id = EXCLUDED.customer_id, status = EXCLUDED.status, saga = EXCLUDED.saga,
               stock = EXCLUDED.stock, payment = EXCLUDED.payment, reason = EXCLUDED.reason,
               closed_by = EXCLUDED.closed_by, stock_closed = EXCLUDED.stock_closed,
               payment_closed = EXCLUDED.payment_closed, total = EXCLUDED.total,
               currency = EXCLUDED.currency, amount_captured = EXCLUDED.amount_captured,
               amount_refunded = EXCLUDED.amount_refunded, noted = EXCLUDED.noted,
               stuck_reason = EXCLUDED.stuck_reason, version = EXCLUDED.version,
               deadline_at = EXCLUDED.deadline_at, stuck_at = EXCLUDED.stuck_at,
               closing_since = EXCLUDED.closing_since,
               closing_attempts = EXCLUDED.closing_attempts,
               closing_due_at = EXCLUDED.closing_due_at, created_at = EXCLUDED.created_at,
               updated_at = EXCLUDED.updated_at, confirmed_at = EXCLUDED.confirmed_at,
               completed_at = EXCLUDED.completed_at, settled_at = EXCLUDED.settled_at,
               offer = EXCLUDED.offer, own_deadline_at = EXCLUDED.own_deadline_at
        """,
        *_changeable(orders),
        [order.customer_id for order in orders],
        [order.currency for order in orders],
        [order.created_at for order in orders],
    )


async def lock_orders(tx: Transaction, order_ids: Iterable[UUID]) -> list[Order]:
    """Lock and read orders, in id order: two that lock the same ones can't deadlock."""
    rows = await tx.fetch(
        "SELECT * FROM orders WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
        sorted(set(order_ids)),
    )
    return [order_of(row) for row in rows]


async def find_and_lock(tx: Transaction, order_id: UUID, *, owner: UUID | None) -> Order | None:
    """Lock and read one order, if it is the owner's; no owner means anybody's."""
    row = await tx.fetchrow(
        """
        SELECT * FROM orders
         WHERE order_id = $1 AND ($2::uuid IS NULL OR customer_id = $2) FOR UPDATE
        """,
        order_id,
        owner,
    )
    return order_of(row) if row else None


async def save_orders(tx: Transaction, orders: Sequence[Order], entries: Sequence[Entry]) -> None:
    """Write what may change of an order, and append to the histories; for all of them at once."""
    await tx.execute(
        """
        WITH moved AS (
            UPDATE orders
               SET status = o.status, saga = o.saga, stock = o.stock, payment = o.payment,
                   reason = o.reason, closed_by = o.closed_by, stock_closed = o.stock_closed,
                   payment_closed = o.payment_closed, amount_captured = o.amount_captured,
                   amount_refunded = o.amount_refunded, noted = string_to_array(o.noted, ' '),
                   stuck_reason = o.stuck_reason, version = o.version,
                   deadline_at = o.deadline_at, stuck_at = o.stuck_at,
                   closing_since = o.closing_since, closing_attempts = o.closing_attempts,
                   closing_due_at = o.closing_due_at, updated_at = o.updated_at,
                   confirmed_at = o.confirmed_at, completed_at = o.completed_at,
                   settled_at = o.settled_at, total = o.total, offer = o.offer::jsonb,
                   own_deadline_at = o.own_deadline_at
              FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                          $7::text[], $8::bool[], $9::bool[], $10::bigint[], $11::bigint[],
                          $12::text[], $13::text[], $14::int[], $15::timestamptz[],
                          $16::timestamptz[], $17::timestamptz[], $18::int[], $19::timestamptz[],
                          $20::timestamptz[], $21::timestamptz[], $22::timestamptz[],
                          $23::timestamptz[], $24::bigint[], $25::text[], $26::timestamptz[])
                   AS o (order_id, status, saga, stock, payment, reason, closed_by, stock_closed,
                         payment_closed, amount_captured, amount_refunded, noted, stuck_reason,
                         version, deadline_at, stuck_at, closing_since, closing_attempts,
                         closing_due_at, updated_at, confirmed_at, completed_at, settled_at,
                         total, offer, own_deadline_at)
             WHERE orders.order_id = o.order_id
        )
        INSERT INTO order_events (order_id, version, type, service, data, occurred_at, recorded_at,
                                  event_id, causation_id)
        SELECT e.order_id, e.version, e.type, e.service, e.data::jsonb, e.occurred_at,
               e.recorded_at, e.event_id, e.causation_id
          FROM unnest($27::uuid[], $28::int[], $29::text[], $30::text[], $31::text[],
                      $32::timestamptz[], $33::timestamptz[], $34::uuid[], $35::uuid[])
               AS e (order_id, version, type, service, data, occurred_at, recorded_at, event_id,
                     causation_id)
        """,
        *_changeable(orders),
        [entry.order_id for entry in entries],
        [entry.version for entry in entries],
        [entry.type_name for entry in entries],
        [entry.service for entry in entries],
        [entry.fact.model_dump_json() for entry in entries],
        [entry.occurred_at for entry in entries],
        [entry.recorded_at for entry in entries],
        [entry.event_id for entry in entries],
        [entry.causation_id for entry in entries],
    )


def order_of(row: asyncpg.Record) -> Order:
    """Read a row as the order it stands for."""
    order = Order(*_values_of(row))
    order.status, order.saga = Status[order.status], Health[order.saga]
    order.stock, order.payment = Stock[order.stock], Payment[order.payment]
    order.noted = frozenset(order.noted)
    order.offer = offer_of(row["offer"])
    return order


def offer_of(stored: str | None) -> dict[int, int] | None:
    """Read what is held of each line: JSON has no numbers for keys."""
    if stored is None:
        return None
    return {int(line_no): held for line_no, held in json.loads(stored).items()}


def _changeable(orders: Sequence[Order]) -> tuple[list[object], ...]:
    """Turn orders into columns, in the order in which both statements above name them."""
    return (
        [order.order_id for order in orders],
        [order.status for order in orders],
        [order.saga for order in orders],
        [order.stock for order in orders],
        [order.payment for order in orders],
        [order.reason for order in orders],
        [order.closed_by for order in orders],
        [order.stock_closed for order in orders],
        [order.payment_closed for order in orders],
        [order.amount_captured for order in orders],
        [order.amount_refunded for order in orders],
        # An array of arrays can't be unnested by row, and a note holds no space.
        [" ".join(sorted(order.noted)) for order in orders],
        [order.stuck_reason for order in orders],
        [order.version for order in orders],
        [order.deadline_at for order in orders],
        [order.stuck_at for order in orders],
        [order.closing_since for order in orders],
        [order.closing_attempts for order in orders],
        [order.closing_due_at for order in orders],
        [order.updated_at for order in orders],
        [order.confirmed_at for order in orders],
        [order.completed_at for order in orders],
        [order.settled_at for order in orders],
        [order.total for order in orders],
        [None if order.offer is None else json.dumps(order.offer) for order in orders],
        [order.own_deadline_at for order in orders],
    )
