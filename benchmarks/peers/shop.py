"""The order that every peer processes: its data, its statements, its customers.

The statements are the same for all peers; `:name` is SQLAlchemy's form, and two functions
write them for psycopg and asyncpg.
"""

import argparse
import asyncio
import json
import os
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

DATABASE_URL = os.environ.get("DATABASE_URL", "")
CONCURRENCY = int(os.environ.get("PEER_CONCURRENCY", "8"))
"""Orders that one process works on at once: chosen for each peer by trying."""
CUSTOMERS = 64
"""Who order at once, as many as Pedido's driver has connections."""
SKUS = tuple(f"BENCH-{number:04}" for number in range(1000))
PENCE = 1250

PLACE = """INSERT INTO orders (order_id, email, skus, quantities, amount)
    VALUES (:order_id, :email, :skus, :quantities, :amount) ON CONFLICT DO NOTHING"""
LOCK = "SELECT sku, available FROM stock WHERE sku = ANY(:skus) ORDER BY sku FOR UPDATE"
TAKE = """WITH new AS (
        INSERT INTO reservations (order_id) VALUES (:order_id) ON CONFLICT DO NOTHING RETURNING 1)
    UPDATE stock SET available = available - quantity, reserved = reserved + quantity
    FROM unnest(CAST(:skus AS text[]), CAST(:quantities AS int[])) AS line (wanted, quantity)
    WHERE sku = wanted AND EXISTS (SELECT FROM new)"""
RELEASE = """WITH held AS (
        UPDATE reservations SET released = true
        WHERE order_id = :order_id AND NOT released RETURNING 1)
    UPDATE stock SET available = available + quantity, reserved = reserved - quantity
    FROM unnest(CAST(:skus AS text[]), CAST(:quantities AS int[])) AS line (wanted, quantity)
    WHERE sku = wanted AND EXISTS (SELECT FROM held)"""
PAID = """INSERT INTO payments (order_id, intent)
    VALUES (:order_id, :intent) ON CONFLICT DO NOTHING"""
COMPLETE = """UPDATE orders SET status = 'COMPLETED', completed_at = clock_timestamp()
    WHERE order_id = :order_id AND status = 'PENDING'"""
REJECT = """UPDATE orders SET status = 'REJECTED'
    WHERE order_id = :order_id AND status = 'PENDING'"""


@dataclass(frozen=True, slots=True)
class Order:
    """Two lines of one customer."""

    order_id: str
    email: str
    skus: list[str]
    quantities: list[int]
    amount: int

    @property
    def row(self) -> dict[str, Any]:
        """Name every value as the statements do."""
        return {name: getattr(self, name) for name in self.__slots__}

    def covered_by(self, available: dict[str, int]) -> bool:
        """Tell whether every line is in stock."""
        lines = zip(self.skus, self.quantities, strict=True)
        return all(available.get(sku, 0) >= quantity for sku, quantity in lines)


def for_psycopg(statement: str) -> str:
    """Write `:name` as `%(name)s`."""
    return re.sub(r":(\w+)", r"%(\1)s", statement)


def for_asyncpg(statement: str, row: dict[str, Any]) -> tuple[str, list[Any]]:
    """Write `:name` as `$1` and put the values into that order."""
    names = list(dict.fromkeys(re.findall(r":(\w+)", statement)))
    numbered = re.sub(r":(\w+)", lambda name: f"${names.index(name[1]) + 1}", statement)
    return numbered, [row[name] for name in names]


def some_order() -> Order:
    """Ask for one to three of two products."""
    quantities = random.choices((1, 2, 3), k=2)  # noqa: S311  not a secret
    skus = sorted(random.sample(SKUS, 2))
    order_id = str(uuid4())
    return Order(order_id, f"{order_id}@example.com", skus, quantities, sum(quantities) * PENCE)


async def submit(accept: Callable[[Order], Awaitable[object]]) -> None:
    """Place orders as the command line says: all at once, or at a rate; write when each was meant.

    `accept` returns when the order is durable: what would let a web server answer 202.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["submit"])
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    orders = [some_order() for _ in range(wanted.orders)]
    meant: dict[str, float] = {}
    cpu = time.process_time()
    place = _at_rate if wanted.rate else _closed_loop
    await place(accept, orders, meant, wanted.rate)
    report = {
        "cpu": time.process_time() - cpu,
        "accepted": time.time(),
        "meant": meant,
        "amounts": {order.order_id: order.amount for order in orders},
        "units": sum(sum(order.quantities) for order in orders),
    }
    wanted.out.write_text(json.dumps(report))


async def _closed_loop(
    accept: Callable[[Order], Awaitable[object]],
    orders: list[Order],
    meant: dict[str, float],
    _rate: float,
) -> None:
    waiting = iter(orders)

    async def customer() -> None:
        for order in waiting:
            meant[order.order_id] = time.time()
            await accept(order)

    async with asyncio.TaskGroup() as group:
        for _ in range(CUSTOMERS):
            group.create_task(customer())


async def _at_rate(
    accept: Callable[[Order], Awaitable[object]],
    orders: list[Order],
    meant: dict[str, float],
    rate: float,
) -> None:
    began = time.time()
    async with asyncio.TaskGroup() as group:
        for number, order in enumerate(orders):
            meant[order.order_id] = began + number / rate
            await asyncio.sleep(max(0.0, meant[order.order_id] - time.time()))
            group.create_task(accept(order))
