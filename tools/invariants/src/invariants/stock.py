"""I2 and I5: goods are neither made nor lost, and none stay held for an order that is over."""

import asyncpg

from invariants.report import Finding, counted
from invariants.sources import Connection

BALANCE = """
    WITH ledger AS (
      SELECT sku,
        sum(quantity) FILTER (WHERE kind IN ('initial', 'adjusted')) AS put,
        sum(quantity) FILTER (WHERE kind = 'reserved') AS reserved,
        sum(quantity) FILTER (WHERE kind = 'released') AS released,
        sum(quantity) FILTER (WHERE kind = 'committed') AS committed,
        sum(quantity) FILTER (WHERE kind = 'unsold') AS unsold,
        sum(quantity) FILTER (WHERE kind = 'restocked') AS restocked
      FROM inventory.movements GROUP BY sku)
    SELECT sku, available, stock.reserved, sold,
      coalesce(put, 0) + coalesce(restocked, 0) AS came,
      coalesce(ledger.reserved, 0) - coalesce(released, 0) - coalesce(committed, 0) AS held,
      coalesce(committed, 0) - coalesce(unsold, 0) AS gone
    FROM inventory.stock LEFT JOIN ledger USING (sku)
"""

LOWEST = """
    SELECT sku, min(available) AS available, min(reserved) AS reserved FROM (
      SELECT sku,
        sum(CASE kind WHEN 'reserved' THEN -quantity WHEN 'committed' THEN 0 ELSE quantity END)
          OVER so_far AS available,
        sum(CASE WHEN kind = 'reserved' THEN quantity
                 WHEN kind IN ('released', 'committed') THEN -quantity ELSE 0 END)
          OVER so_far AS reserved
      FROM inventory.movements WINDOW so_far AS (PARTITION BY sku ORDER BY id)) AS balance
    GROUP BY sku HAVING min(available) < 0 OR min(reserved) < 0
"""
"""The ledger replayed: its rows of one sku are in the order in which the shelf was locked."""

RESERVATIONS = """
    SELECT order_id, state, status,
      coalesce(sum(quantity - restocked), 0) AS out
    FROM inventory.reservations
    LEFT JOIN inventory.reservation_lines USING (order_id)
    LEFT JOIN orders.orders USING (order_id)
    GROUP BY order_id, state, status
    HAVING status IS NULL AND state IN ('HELD', 'COMMITTED')
      OR status IN ('COMPLETED', 'SHIPPED', 'DELIVERED') AND state <> 'COMMITTED'
      OR status IN ('REJECTED', 'EXPIRED', 'CANCELLED') AND (state = 'HELD'
        OR state = 'COMMITTED' AND coalesce(sum(quantity - restocked), 0) > 0)
"""

SOLD = """
    WITH good AS (
      SELECT order_id FROM orders.orders WHERE status IN ('COMPLETED', 'SHIPPED', 'DELIVERED'))
    SELECT order_id FROM
      (SELECT order_id, line_no, sku, quantity FROM orders.order_lines
       JOIN good USING (order_id)) AS ordered
      FULL JOIN
      (SELECT order_id, line_no, sku, quantity FROM inventory.reservation_lines
       JOIN good USING (order_id)) AS sold
      USING (order_id, line_no)
    WHERE (ordered.sku, ordered.quantity) IS DISTINCT FROM (sold.sku, sold.quantity)
    GROUP BY order_id
"""
"""What was taken of an order that was short is all that it is, on both sides."""

HELD = """
    SELECT sku, stock.reserved, coalesce(held.quantity, 0) AS held
    FROM inventory.stock LEFT JOIN (
      SELECT sku, sum(lines.quantity) AS quantity
      FROM inventory.reservation_lines lines JOIN inventory.reservations USING (order_id)
      WHERE state = 'HELD' GROUP BY sku) AS held USING (sku)
    WHERE stock.reserved <> coalesce(held.quantity, 0)
"""


async def check_stock(db: Connection) -> Finding:
    """I2: the shelf equals its ledger, and never went below nothing."""
    rows = await db.fetch(BALANCE)
    below = await db.fetch(LOWEST)
    movements = await db.fetchval("SELECT count(*) FROM inventory.movements")
    return Finding.of(
        "I2",
        "per SKU: initial + restocked = available + reserved + sold, and none ever below 0",
        checked=f"{counted(len(rows), 'SKU')}, {counted(movements, 'movement')}",
        violations=[
            *(f"{row['sku']}: {problem}" for row in rows if (problem := _unbalanced(row))),
            *(
                f"{row['sku']}: its ledger went down to {row['available']} available,"
                f" {row['reserved']} reserved"
                for row in below
            ),
            *await _unguarded(db),
        ],
    )


def _unbalanced(row: asyncpg.Record) -> str | None:
    if min(row["available"], row["reserved"]) < 0:
        return f"{row['available']} available, {row['reserved']} reserved"
    if row["came"] != row["available"] + row["reserved"] + row["sold"]:
        return (
            f"{row['came']} came in, {row['available']} available + {row['reserved']} reserved"
            f" + {row['sold']} sold"
        )
    if (row["held"], row["gone"]) != (row["reserved"], row["sold"]):
        return (
            f"its ledger holds {row['held']} and sold {row['gone']}, its row says"
            f" {row['reserved']} and {row['sold']}"
        )
    return None


async def _unguarded(db: Connection) -> list[str]:
    checks = await db.fetchval(
        """SELECT coalesce(string_agg(pg_get_constraintdef(oid), ' '), '') FROM pg_constraint
           WHERE conrelid = 'inventory.stock'::regclass AND contype = 'c'"""
    )
    return [
        f"inventory.stock has no CHECK ({column} >= 0)"
        for column in ("available", "reserved")
        if f"{column} >= 0" not in checks
    ]


async def check_reservations(db: Connection) -> Finding:
    """I5: goods are held for living orders only, and the shelf counts the same."""
    count = await db.fetchval("SELECT count(*) FROM inventory.reservations")
    outliving = await db.fetch(RESERVATIONS)
    miscounted = await db.fetch(HELD)
    missold = await db.fetch(SOLD)
    return Finding.of(
        "I5",
        "no reservation outlives its order, and what is sold is what was ordered or taken",
        checked=counted(count, "reservation"),
        violations=[
            *(
                f"order {row['order_id']} is {row['status'] or 'unknown'}, its reservation"
                f" {row['state']} with {row['out']} pieces"
                for row in outliving
            ),
            *(
                f"{row['sku']}: {row['reserved']} reserved, {row['held']} on open reservations"
                for row in miscounted
            ),
            *(f"order {row['order_id']} names other lines than were sold" for row in missold),
        ],
    )
