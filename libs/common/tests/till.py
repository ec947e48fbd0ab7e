"""A tiny service for the shell's tests: it counts what it was told, by order id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

from common import avro
from common.database import Database, Transaction
from common.dead_letter import Record
from common.deciding import Subscription
from common.message import Event, Outcome, Received, Said, Stale, uuid7
from common.parked import Patience
from common.shell import Shell
from common.sweeper import Sweep


class OrderConfirmed(Event):
    """An event of the real contract: the shell knows no other kind."""

    TOPIC: ClassVar[str] = "orders.v1"
    order_id: UUID
    customer_id: UUID


class StockCommitted(Event):
    """What the till says."""

    TOPIC: ClassVar[str] = "inventory.v1"
    order_id: UUID


@dataclass
class Till:
    """How often each order was counted."""

    counts: dict[UUID, int]
    trace: list[tuple[UUID, UUID]] = field(default_factory=list)

    def apply(self, message: Received, changes: tuple[object, ...], said: Sequence[Said]) -> None:
        """Count once more."""
        del changes, said
        order_id = UUID(message.key.decode())
        self.counts[order_id] = self.counts.get(order_id, 0) + 1
        self.trace.append((order_id, message.event_id))


Rule = Callable[[Till, OrderConfirmed], Outcome | Stale]


def count(_till: Till, event: OrderConfirmed) -> Outcome:
    """Count the order, and say so."""
    return Outcome(("counted",), (StockCommitted(order_id=event.order_id),))


async def load(tx: Transaction, messages: Sequence[Received]) -> Till:
    """Lock the orders' rows."""
    ids = sorted({UUID(message.key.decode()) for message in messages})
    rows = await tx.fetch(
        "SELECT order_id, n FROM till WHERE order_id = ANY($1::uuid[]) ORDER BY 1 FOR UPDATE", ids
    )
    return Till({row["order_id"]: row["n"] for row in rows})


async def save(tx: Transaction, till: Till) -> None:
    """Write the counts, and the order in which they were counted."""
    await tx.execute(
        """
        INSERT INTO till (order_id, n) SELECT * FROM unnest($1::uuid[], $2::int[])
            ON CONFLICT (order_id) DO UPDATE SET n = excluded.n
        """,
        list(till.counts),
        list(till.counts.values()),
    )
    await tx.execute(
        "INSERT INTO till_log (order_id, event_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])",
        [order_id for order_id, _ in till.trace],
        [event_id for _, event_id in till.trace],
    )


TABLES = """
CREATE TABLE inventory.till (order_id uuid PRIMARY KEY, n int NOT NULL CHECK (n < 1000));
CREATE TABLE inventory.till_log (
    place bigint GENERATED ALWAYS AS IDENTITY, order_id uuid, event_id uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON inventory.till, inventory.till_log TO inventory_app;
"""


def subscription(rule: Rule = count) -> Subscription[Till]:
    """Subscribe the till under inventory's name: the contract knows its topics and group."""
    return Subscription(
        group="inventory-service", decisions={OrderConfirmed: rule}, load=load, save=save
    )


def shell(database: Database, rule: Rule = count) -> Shell[Till]:
    """Build a shell around the till."""
    return Shell(subscription(rule), database=database)


async def sweep(database: Database, rule: Rule = count) -> None:
    """Try what is parked, without delay, until nothing is due."""
    patience = Patience(timedelta(0), timedelta(0), attempts=3)
    sweep = Sweep(shell(database, rule).decider, database=database, patience=patience)
    while await sweep.once():
        pass


def record(
    order_id: UUID,
    *,
    offset: int = 0,
    event_id: UUID | None = None,
    headers: dict[bytes, bytes | None] | None = None,
    value: bytes | None = None,
    key: bytes | None = None,
) -> Record:
    """Make a record as order-service would, changed where the test says so."""
    event = OrderConfirmed(order_id=order_id, customer_id=order_id)
    names = {
        b"ce_id": str(event_id or uuid7()).encode(),
        b"ce_type": b"OrderConfirmed",
        b"ce_source": b"/order-service",
        b"ce_time": datetime.now(UTC).isoformat().encode(),
        **(headers or {}),
    }
    return Record(
        topic="orders.v1",
        partition=0,
        offset=offset,
        timestamp=datetime.now(UTC),
        key=key if key is not None else str(order_id).encode(),
        value=value if value is not None else avro.encode(event),
        headers=[(name, given) for name, given in names.items() if given is not None],
    )
