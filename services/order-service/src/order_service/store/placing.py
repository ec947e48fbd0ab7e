"""New orders: what a batch of them is decided by, and how it is stored; one statement each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from common.database import Transaction

from order_service.domain import (
    Caps,
    Catalogue,
    Entry,
    Holdings,
    Order,
    Placed,
    PlaceOrder,
    Product,
    skus_of,
)
from order_service.messages import Money


@dataclass(frozen=True, slots=True)
class Terms:
    """What the orders of a batch are decided by."""

    catalogue: Catalogue
    """Those of the products that are for sale."""
    barred: frozenset[UUID]
    """Who was erased or switched off, though their access token still lives."""
    holdings: Holdings
    """What the customers hold, in all and of the products that they want now."""


async def get_terms(tx: Transaction, commands: Collection[PlaceOrder], caps: Caps) -> Terms:
    """Read what decides on these orders.

    Others may be placing orders for the same customers meanwhile, in other processes.
    """
    (row,) = await tx.fetch(
        """
        SELECT ARRAY(
                 SELECT (sku, name, price, currency) FROM products
                  WHERE sku = ANY($1) AND active AND removed_at IS NULL) AS products,
               ARRAY(
                 SELECT customer_id FROM customers
                  WHERE customer_id = ANY($2) AND NOT active) AS barred,
               ARRAY(
                 SELECT (w.customer_id, h.sku, count(DISTINCT h.order_id), count(*),
                         sum(h.quantity))
                   FROM unnest($2::uuid[]) AS w (customer_id)
                  CROSS JOIN LATERAL (
                        SELECT o.order_id, l.sku, l.quantity
                          FROM orders AS o JOIN order_lines AS l ON l.order_id = o.order_id
                         WHERE o.customer_id = w.customer_id
                           AND o.status IN ('PENDING', 'ACTION_REQUIRED')
                         LIMIT $3
                        ) AS h
                  GROUP BY GROUPING SETS ((w.customer_id), (w.customer_id, h.sku))
                 HAVING h.sku IS NULL OR h.sku = ANY($1)) AS holdings
        """,
        skus_of(commands),
        list({command.customer_id for command in commands}),
        caps.lines,
    )
    products = (
        Product(sku, name, Money(amount=price, currency=currency))
        for sku, name, price, currency in row["products"]
    )
    return Terms(
        catalogue={product.sku: product for product in products},
        barred=frozenset(row["barred"]),
        holdings=_holdings(row["holdings"], caps),
    )


def _holdings(rows: Sequence[asyncpg.Record], caps: Caps) -> Holdings:
    holdings = Holdings(caps)
    for customer, sku, orders, lines, pieces in rows:
        if sku is None:
            holdings.orders[customer], holdings.lines[customer] = orders, lines
        else:
            holdings.pieces[customer, sku] = pieces
    return holdings


async def open_orders(
    tx: Transaction, placed: Sequence[Placed], orders: Sequence[Order], entries: Sequence[Entry]
) -> None:
    """Insert orders as they begin, with their lines and the first entries of their histories.

    What every order begins without is not sent; the lines have the products' names as of now.
    """
    lines = [
        (each.event.order_id, line, name)
        for each in placed
        for line, name in zip(each.event.lines, each.names, strict=True)
    ]
    await tx.execute(
        """
        WITH opened AS (
            INSERT INTO orders
                   (order_id, customer_id, status, saga, stock, payment, total, currency, version,
                    deadline_at, created_at, updated_at, stock_closed, payment_closed,
                    amount_captured, amount_refunded, noted, closing_attempts)
            SELECT o.*, false, false, 0, 0, '{}', 0
              FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                          $7::bigint[], $8::text[], $9::int[], $10::timestamptz[],
                          $11::timestamptz[], $12::timestamptz[]) AS o
        ), listed AS (
            INSERT INTO order_lines (order_id, line_no, sku, name, quantity, unit_price)
            SELECT * FROM unnest($13::uuid[], $14::int[], $15::text[], $16::text[], $17::int[],
                                 $18::bigint[])
        )
        INSERT INTO order_events (order_id, version, type, service, data, occurred_at, recorded_at,
                                  event_id)
        SELECT e.order_id, e.version, e.type, e.service, e.data::jsonb, e.occurred_at,
               e.recorded_at, e.event_id
          FROM unnest($1::uuid[], $9::int[], $19::text[], $20::text[], $21::text[],
                      $22::timestamptz[], $23::timestamptz[], $24::uuid[])
               AS e (order_id, version, type, service, data, occurred_at, recorded_at, event_id)
        """,
        [order.order_id for order in orders],
        [order.customer_id for order in orders],
        [order.status for order in orders],
        [order.saga for order in orders],
        [order.stock for order in orders],
        [order.payment for order in orders],
        [order.total for order in orders],
        [order.currency for order in orders],
        [order.version for order in orders],
        [order.deadline_at for order in orders],
        [order.created_at for order in orders],
        [order.updated_at for order in orders],
        [order_id for order_id, _, _ in lines],
        [line.line_no for _, line, _ in lines],
        [line.sku for _, line, _ in lines],
        [name for _, _, name in lines],
        [line.quantity for _, line, _ in lines],
        [line.unit_price.amount for _, line, _ in lines],
        [entry.type_name for entry in entries],
        [entry.service for entry in entries],
        [entry.fact.model_dump_json() for entry in entries],
        [entry.occurred_at for entry in entries],
        [entry.recorded_at for entry in entries],
        [entry.event_id for entry in entries],
    )
