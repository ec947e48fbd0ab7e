"""What customers hold in orders that are not confirmed: one statement a batch."""

from __future__ import annotations

from collections.abc import Collection

from common.database import Transaction

from order_service.domain import Caps, Holdings, PlaceOrder, skus_of


async def get_holdings(tx: Transaction, commands: Collection[PlaceOrder], caps: Caps) -> Holdings:
    """Read what the customers of these commands hold, in all and of the products they want.

    Others may be placing orders for the same customers meanwhile, in other processes.
    """
    rows = await tx.fetch(
        """
        SELECT w.customer_id, h.sku, count(DISTINCT h.order_id) AS orders, count(*) AS lines,
               sum(h.quantity) AS pieces
          FROM unnest($1::uuid[]) AS w (customer_id)
         CROSS JOIN LATERAL (
               SELECT o.order_id, l.sku, l.quantity
                 FROM orders AS o JOIN order_lines AS l ON l.order_id = o.order_id
                WHERE o.customer_id = w.customer_id
                  AND o.status IN ('PENDING', 'ACTION_REQUIRED')
                LIMIT $3
               ) AS h
         GROUP BY GROUPING SETS ((w.customer_id), (w.customer_id, h.sku))
        HAVING h.sku IS NULL OR h.sku = ANY($2)
        """,
        list({command.customer_id for command in commands}),
        skus_of(commands),
        caps.lines,
    )
    holdings = Holdings(caps)
    for row in rows:
        customer, sku = row["customer_id"], row["sku"]
        if sku is None:
            holdings.orders[customer], holdings.lines[customer] = row["orders"], row["lines"]
        else:
            holdings.pieces[customer, sku] = row["pieces"]
    return holdings
