"""The lines of orders that are decided on: read with their prices, and cut to what was accepted."""

from __future__ import annotations

from collections.abc import Sequence

from common.database import Transaction

from order_service.domain import Order
from order_service.messages import Money, OrderLine, OrderLinesAmended


async def get_lines(tx: Transaction, order: Order) -> list[OrderLine]:
    """Read an order's lines in their own order."""
    rows = await tx.fetch(
        """
        SELECT line_no, sku, quantity, unit_price
          FROM order_lines WHERE order_id = $1 ORDER BY line_no
        """,
        order.order_id,
    )
    return [
        OrderLine(
            line_no=row["line_no"],
            sku=row["sku"],
            quantity=row["quantity"],
            unit_price=Money(amount=row["unit_price"], currency=order.currency),
        )
        for row in rows
    ]


async def amend_lines(tx: Transaction, amendments: Sequence[OrderLinesAmended]) -> None:
    """Keep what was accepted of each order; what was ordered first is in its history."""
    kept = [(each.order_id, line) for each in amendments for line in each.lines]
    await tx.execute(
        """
        MERGE INTO order_lines AS l
        USING (SELECT l.order_id, l.line_no, kept.quantity
                 FROM order_lines l
                 LEFT JOIN unnest($2::uuid[], $3::int[], $4::int[])
                           AS kept (order_id, line_no, quantity) USING (order_id, line_no)
                WHERE l.order_id = ANY($1::uuid[])) AS n
           ON l.order_id = n.order_id AND l.line_no = n.line_no
         WHEN MATCHED AND n.quantity IS NULL THEN DELETE
         WHEN MATCHED THEN UPDATE SET quantity = n.quantity
        """,
        [each.order_id for each in amendments],
        [order_id for order_id, _ in kept],
        [line.line_no for _, line in kept],
        [line.quantity for _, line in kept],
    )
