"""A small shop at rest in which every invariant holds, for each test to break in one place."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from common.message import uuid7
from devstack import postgres
from devstack.dsn import of_database
from devstack.stack import Stack
from invariants.decides import HEARD, SCHEMAS
from invariants.mail import BOX
from invariants.sources import Connection
from invariants.topics import Place, TopicLog

CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
TOTAL, PIECES = 1500, 3

GOOD = UUID("0198f3a0-0001-7000-8000-000000000001")
DECLINED = UUID("0198f3a0-0001-7000-8000-000000000002")
UNDONE = UUID("0198f3a0-0001-7000-8000-000000000003")

HISTORIES = {
    GOOD: "OrderPlaced StockReserved PaymentAuthorized OrderConfirmed StockCommitted"
    " PaymentCaptured OrderCompleted",
    DECLINED: "OrderPlaced StockReserved PaymentDeclined OrderRejected StockReleased",
    UNDONE: "OrderPlaced StockReserved PaymentAuthorized OrderConfirmed StockCommitted"
    " PaymentCaptured OrderCompleted OrderCancelRequested StockReleased PaymentRefunded"
    " OrderCancelled",
}
STATUSES = {
    GOOD: ("COMPLETED", "COMPLETED"),
    DECLINED: ("REJECTED", "COMPENSATED"),
    UNDONE: ("CANCELLED", "COMPENSATED"),
}
MAILS = {GOOD: ["confirmed"], DECLINED: ["rejected"], UNDONE: ["confirmed", "cancelled"]}
EFFECTS = {GOOD: ["authorize", "capture"], UNDONE: ["authorize", "capture", "refund"]}
MOVEMENTS = {
    GOOD: ["reserved", "committed"],
    DECLINED: ["reserved", "released"],
    UNDONE: ["reserved", "committed", "restocked"],
}
RESERVATIONS = {
    GOOD: ("COMMITTED", 0),
    DECLINED: ("RELEASED", PIECES),
    UNDONE: ("RELEASED", PIECES),
}


def topic_of(event_type: str) -> str:
    return next(
        topic for heard in HEARD.values() for topic, types in heard.items() if event_type in types
    )


@dataclass
class World:
    """The shop, and the tools to tamper with it."""

    db: Connection
    ledger: Path
    mail: Path
    log: TopicLog

    async def insert(self, table: str, **columns: Any) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        await self.db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608  a test's own names
            *columns.values(),
        )

    async def run(self, sql: str, *arguments: Any) -> None:
        """Tamper; something must have changed."""
        assert not (await self.db.execute(sql, *arguments)).endswith(" 0"), sql

    def effect(self, order_id: UUID, kind: str, amount: int = TOTAL, currency: str = "gbp") -> None:
        with closing(sqlite3.connect(self.ledger)) as ledger, ledger:
            intent = f"pi_{order_id}_{currency}"
            ledger.execute("INSERT OR IGNORE INTO intents VALUES (?, ?)", (intent, currency))
            ledger.execute(
                "INSERT INTO effects (intent_id, kind, amount, order_id) VALUES (?, ?, ?, ?)",
                (intent, kind, amount, str(order_id)),
            )

    def deliver(
        self,
        order_id: UUID | str,
        kind: str,
        message_id: str | None = None,
        *,
        subject: UUID | str = "-",
    ) -> None:
        own = message_id or f"<{order_id}.{kind}.{subject}@pedido>"
        headers = (
            f"From: shop\nMessage-ID: {own}\nX-Pedido-Order: {order_id}\n"
            f"X-Pedido-Kind: {kind}\nX-Pedido-Subject: {subject}\n\n"
            "Message-ID: <not.this@one>\n"
        )
        with (self.mail / BOX).open("a") as box:
            box.write(f"From sink\n{headers}\n")

    def publish(self, event_type: str, event_id: UUID) -> Place:
        topic = topic_of(event_type)
        place = (topic, 0, self.log.counts.total())
        headers = {"ce_type": event_type.encode(), "ce_id": str(event_id).encode()}
        self.log.add(place, headers)
        return place

    async def take(self, service: str, event_id: UUID, place: Place, **changed: Any) -> None:
        topic, partition, offset = place
        usual = {
            "event_id": event_id,
            "key": str(GOOD).encode(),
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "seq": offset,
            "digest": b"",
            "origin": "topic",
        }
        await self.insert(f"{SCHEMAS[service]}.inbox", **usual | changed)

    async def park(self, service: str, place: Place, **changed: Any) -> None:
        topic, partition, offset = place
        usual = {
            "seq": 0,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "header_names": [],
            "header_values": [],
            "digest": b"",
            "recorded_at": datetime.now(UTC),
            "state": "skipped",
            "error_class": "Poison",
            "error": "",
        }
        await self.insert(f"{SCHEMAS[service]}.parked", **usual | changed)


@dataclass(frozen=True, slots=True)
class Shop:
    """What all worlds share: a database that is never changed for good, and what was published."""

    dsn: str
    log: TopicLog


@pytest.fixture(scope="session")
def shop_at_rest(stack: Stack, template_database: str) -> Shop:
    """Fill one database once: 80 clones would take minutes."""
    name = f"at-rest-{uuid4()}"
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        create = postgres.create_database(stack.admin_dsn, name, template=template_database)
        runner.run(create)
        return runner.run(_fill(of_database(stack.admin_dsn, name)))


@pytest_asyncio.fixture
async def world(shop_at_rest: Shop, tmp_path: Path) -> AsyncIterator[World]:
    """Open the shop for one test, which may break anything: it is rolled back."""
    db = await asyncpg.connect(shop_at_rest.dsn)
    transaction = db.transaction()
    await transaction.start()
    await db.execute("SET LOCAL session_replication_role = replica")  # no foreign keys
    made = World(db, tmp_path / "ledger.sqlite", tmp_path / "mail", deepcopy(shop_at_rest.log))
    made.mail.mkdir()
    _open_ledger(made.ledger)
    for order_id in HISTORIES:
        _outside(made, order_id)
    yield made
    await transaction.rollback()
    await db.close()


async def _fill(dsn: str) -> Shop:
    db = await asyncpg.connect(dsn)
    world = World(db, Path(), Path(), TopicLog())
    try:
        await _take_guards_away(db)
        await _stock(world)
        for order_id, history in HISTORIES.items():
            await _order(world, order_id, history.split())
            await _goods(world, order_id)
            await _notices(world, order_id)
        await _refund(world, UNDONE)
    finally:
        await db.close()
    return Shop(dsn, world.log)


async def _take_guards_away(db: Connection) -> None:
    """Drop what keeps the services honest: the checker must see what it would have prevented."""
    guards = await db.fetch(
        """SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint
           WHERE contype = 'c' AND conrelid <> 'inventory.stock'::regclass
             AND connamespace::regnamespace::text IN ('orders', 'inventory', 'payments',
                                                      'notifications')"""
    )
    for guard in guards:
        await db.execute(f'ALTER TABLE {guard["table"]} DROP CONSTRAINT "{guard["name"]}"')


def _open_ledger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("CREATE TABLE intents (id text PRIMARY KEY, currency text)")
        ledger.execute(
            "CREATE TABLE effects (seq integer PRIMARY KEY, intent_id text, kind text,"
            " amount integer, order_id text)"
        )


async def _stock(world: World) -> None:
    await world.insert(
        "inventory.stock",
        sku="LAMP",
        name="Lamp",
        price=500,
        currency="GBP",
        available=10 - PIECES,
        sold=2 * PIECES,
    )
    await world.insert("inventory.movements", sku="LAMP", kind="initial", quantity=10)


async def _order(world: World, order_id: UUID, history: Iterable[str]) -> None:
    status, saga = STATUSES[order_id]
    now = datetime.now(UTC)
    version = 0
    for version, event_type in enumerate(history, start=1):
        event_id = uuid7()
        place = world.publish(event_type, event_id)
        await world.insert(
            "orders.order_events",
            order_id=order_id,
            version=version,
            type=event_type,
            service="order-service",
            data="{}",
            occurred_at=now,
            recorded_at=now,
            event_id=event_id,
        )
        for service, heard in HEARD.items():
            if event_type in heard.get(place[0], ()):
                await world.take(service, event_id, place, key=str(order_id).encode())
    await world.insert(
        "orders.orders",
        order_id=order_id,
        customer_id=CUSTOMER,
        status=status,
        saga=saga,
        stock="NONE",
        payment="NONE",
        stock_closed=False,
        payment_closed=False,
        total=TOTAL,
        currency="GBP",
        amount_captured=0,
        amount_refunded=TOTAL if order_id == UNDONE else 0,
        noted=[],
        version=version,
        deadline_at=now,
        closing_attempts=0,
        created_at=now,
        updated_at=now,
    )
    await world.insert(
        "orders.idempotency_keys",
        principal=CUSTOMER,
        route="POST /orders",
        key=str(order_id),
        fingerprint=b"",
        status=202,
        body=json.dumps({"orderId": str(order_id)}).encode(),
        order_id=order_id,
        created_at=now,
    )


async def _refund(world: World, order_id: UUID, state: str = "SUCCEEDED") -> None:
    now = datetime.now(UTC)
    await world.insert(
        "orders.refunds",
        refund_id=uuid7(),
        order_id=order_id,
        amount=TOTAL,
        currency="GBP",
        state=state,
        reason="order_closed",
        requested_by="system",
        requested_at=now,
        updated_at=now,
        lines="[]",
        restock=False,
    )


async def _goods(world: World, order_id: UUID) -> None:
    state, restocked = RESERVATIONS[order_id]
    await world.insert(
        "orders.order_lines",
        order_id=order_id,
        line_no=1,
        sku="LAMP",
        name="A lamp",
        quantity=PIECES,
        unit_price=TOTAL // PIECES,
    )
    await world.insert("inventory.reservations", order_id=order_id, state=state)
    await world.insert(
        "inventory.reservation_lines",
        order_id=order_id,
        line_no=1,
        sku="LAMP",
        quantity=PIECES,
        restocked=restocked,
    )
    for kind in MOVEMENTS[order_id]:
        await world.insert(
            "inventory.movements", sku="LAMP", kind=kind, quantity=PIECES, order_id=order_id
        )


async def _notices(world: World, order_id: UUID) -> None:
    await world.insert("payments.payments", order_id=order_id, payment_id=uuid7())
    for kind in MAILS[order_id]:
        await world.insert(
            "notifications.notifications",
            id=uuid7(),
            order_id=order_id,
            kind=kind,
            subject="",
            reason="",
            message_id=f"<{order_id}.{kind}.-@pedido>",
            status="SENT",
        )


def _outside(world: World, order_id: UUID) -> None:
    for kind in EFFECTS.get(order_id, ()):
        world.effect(order_id, kind)
    for kind in MAILS[order_id]:
        world.deliver(order_id, kind)
