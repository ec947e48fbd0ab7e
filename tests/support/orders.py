"""Order-service without HTTP or a broker: place orders, hear facts, fire timers, look at rows."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import fastavro
from common import avro
from common.database import Database
from common.dead_letter import Record
from common.message import Event, uuid7
from common.settings import PostgresSettings
from common.shell import Shell
from order_service import consumers, handlers
from order_service.domain import (
    CancelOrder,
    Choice,
    DecideOrder,
    Order,
    Orders,
    Patience,
    PlaceOrder,
    RequestRefund,
    ReturnedLine,
    WantedLine,
)
from order_service.messages import (
    AskedLine,
    Money,
    PaymentAuthorized,
    PaymentCaptured,
    StockCommitted,
    StockPartiallyReserved,
    StockReserved,
)
from order_service.store import orders as store
from pydantic import SecretStr

from tests.support.postgres import Databases


@asynccontextmanager
async def open_desk(databases: Databases) -> AsyncIterator[OrderDesk]:
    """Open the test's own database, with two products to order."""
    settings = PostgresSettings(
        database_url=SecretStr(databases.app_dsn("orders")), db_schema="orders"
    )
    database = Database(settings, name="order-service")
    desk = OrderDesk(database)
    await desk.sell(("mug", 255), ("pot", 339))
    try:
        yield desk
    finally:
        await database.close()


@dataclass
class OrderDesk:
    """A database of order-service, and all that can happen to its orders."""

    database: Database
    patience: Patience = field(default_factory=Patience)
    _offset: int = 0

    async def sell(self, *products: tuple[str, int]) -> None:
        """Put products with their prices into the catalogue."""
        async with self.database.transaction() as tx:
            await tx.execute(
                """
                INSERT INTO products (sku, name, price, currency, active, available, version)
                SELECT sku, 'Product ' || sku, price, 'GBP', true, 'SOME', 1
                  FROM unnest($1::text[], $2::bigint[]) AS p (sku, price)
                """,
                [sku for sku, _ in products],
                [price for _, price in products],
            )

    async def place(self, *lines: tuple[str, int], customer: UUID | None = None) -> UUID:
        """Place one order; two mugs and a pot unless told what."""
        (order_id,) = await self.place_many(1, *lines, customer=customer)
        return order_id

    async def place_many(
        self, count: int, *lines: tuple[str, int], customer: UUID | None = None
    ) -> list[UUID]:
        """Place orders in one transaction."""
        wanted = tuple(WantedLine(*line) for line in lines or (("mug", 2), ("pot", 1)))
        commands = [PlaceOrder(uuid7(), customer or uuid7(), wanted, "pm_ok") for _ in range(count)]
        async with self.database.transaction() as tx:
            await handlers.place_orders(tx, commands, patience=self.patience)
        return [command.order_id for command in commands]

    async def cancel(self, order_id: UUID) -> Order:
        """Cancel as staff does."""
        async with self.database.transaction() as tx:
            command = CancelOrder(order_id, "staff", uuid7())
            return await handlers.cancel_order(tx, command, patience=self.patience)

    async def complete(self, order_id: UUID) -> None:
        """Hear that an order's stock is sold and its money taken."""
        order = await self.order(order_id)
        await self.hear(
            StockReserved(order_id=order_id),
            PaymentAuthorized(order_id=order_id),
            StockCommitted(order_id=order_id),
            PaymentCaptured(
                order_id=order_id, amount=Money(amount=order.total, currency=order.currency)
            ),
        )

    async def refund(
        self,
        order_id: UUID,
        *,
        amount: int | None = None,
        lines: tuple[ReturnedLine, ...] = (),
        restock: bool = False,
    ) -> UUID:
        """Have staff give money back, and answer the refund's id."""
        command = RequestRefund(
            refund_id=uuid7(),
            order_id=order_id,
            by=uuid7(),
            reason="damaged",
            amount=Money(amount=amount, currency="GBP") if amount else None,
            lines=lines,
            restock=restock,
        )
        async with self.database.transaction() as tx:
            await handlers.request_refund(tx, command, patience=self.patience)
        return command.refund_id

    async def decide(self, order_id: UUID, choice: Choice) -> None:
        """Decide as staff does."""
        async with self.database.transaction() as tx:
            command = DecideOrder(order_id, choice, "staff", uuid7())
            await handlers.decide_order(tx, command, patience=self.patience)

    def shell(self) -> Shell[Orders]:
        """Make what the consumer runs its batches through."""
        return Shell(
            consumers.subscription(self.patience),
            database=self.database,
        )

    async def hear(self, *events: Event) -> list[Record]:
        """Hear facts in one batch, as the consumer would."""
        records = [self.record(event) for event in events]
        await self.replay(records)
        return records

    async def replay(self, records: Sequence[Record]) -> None:
        """Hear records, perhaps not for the first time."""
        assert await self.shell().handle(records, asyncio.Event())

    def record(self, event: Event, *, version: int | None = None) -> Record:
        """Put an event on the wire, as its producer does."""
        self._offset += 1
        headers = {
            "ce_type": event.type_name(),
            "ce_id": str(uuid7()),
            "ce_source": f"/{avro.source_of(event.TOPIC)}",
            "ce_time": datetime.now(UTC).isoformat(),
            "ce_version": str(version) if version else "",
        }
        return Record(
            topic=event.TOPIC,
            partition=0,
            offset=self._offset,
            timestamp=datetime.now(UTC),
            key=event.key().encode(),
            value=frame(event),
            headers=[(name.encode(), value.encode()) for name, value in headers.items() if value],
        )

    async def order(self, order_id: UUID) -> Order:
        """See an order's row."""
        async with self.database.transaction() as tx:
            (order,) = await store.lock_orders(tx, [order_id])
        return order

    async def history(self, order_id: UUID) -> list[str]:
        """See what happened to an order."""
        rows = await self.rows(
            "SELECT type FROM order_events WHERE order_id = $1 ORDER BY version", order_id
        )
        return [row["type"] for row in rows]

    async def said(self, order_id: UUID) -> list[str]:
        """See what was announced of an order."""
        rows = await self.rows(
            "SELECT type FROM outbox WHERE aggregateid = $1 AND topic = 'orders.v1' ORDER BY id",
            str(order_id).encode(),
        )
        return [row["type"] for row in rows]

    async def rows(self, sql: str, *args: object) -> Sequence[Any]:
        """Look into the database."""
        async with self.database.transaction() as tx:
            return await tx.fetch(sql, *args)

    async def move(self, order_id: UUID, column: str, by: timedelta) -> None:
        """Move an order's due time, since nobody fakes the database's clock."""
        async with self.database.transaction() as tx:
            quoted = f'"{column}"'
            await tx.execute(
                f"UPDATE orders SET {quoted} = {quoted} + $2 WHERE order_id = $1",  # noqa: S608
                order_id,
                by,
            )


def partly(order_id: UUID, held: int = 1) -> StockPartiallyReserved:
    """Hold so many of the two mugs that an order asks for, and not its pot."""
    mugs = AskedLine(line_no=1, sku="mug", asked=2, available=held)
    pots = AskedLine(line_no=2, sku="pot", asked=1, available=0)
    return StockPartiallyReserved(order_id=order_id, lines=(mugs, pots))


def frame(event: Event) -> bytes:
    """Encode an event with the fields that order-service does not read, too."""
    schema_id = avro.schema_id(event)
    example = avro.schemas_dir() / "examples" / f"{event.type_name()}.json"
    fields = json.loads(example.read_text()) | event.model_dump()
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(buffer, avro.contract().by_id[schema_id][1], fields)
    return buffer.getvalue()
