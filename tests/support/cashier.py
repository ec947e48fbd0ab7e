"""Payment-service without a broker: hear facts, charge at the simulator, see what came of it."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import fastavro
from common import avro
from common.database import Database
from common.dead_letter import Record
from common.message import Event, uuid7
from common.shell import Shell
from devstack.topology import GATEWAY_KEY
from payment_service import handlers, messages
from payment_service.app import build_breaker, build_charger
from payment_service.charging import Charger
from payment_service.consumers import SUBSCRIPTION
from payment_service.messages import Money, OrderConfirmed, OrderPlaced, StockReserved
from payment_service.settings import Settings
from pydantic import SecretStr

from tests.support.gateway import RunningGateway

CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")

_UNREAD: dict[str, Any] = {
    "customer_id": CUSTOMER,
    "lines": [],
    "deadline_at": datetime(2030, 1, 1, tzinfo=UTC),
    "reason": "asked_for",
    "by": "customer",
}
"""What the wire carries and payment does not read."""


@asynccontextmanager
async def open_cashier(
    database_url: str, gateway: RunningGateway, **settings: Any
) -> AsyncIterator[Cashier]:
    """Open the test's own database, with an impatient service on it."""
    given = Settings(
        app_env="test",
        database_url=SecretStr(database_url),
        kafka_bootstrap_servers="127.0.0.1:9",
        payment_gateway_url=settings.pop("payment_gateway_url", gateway.url),
        payment_gateway_key=SecretStr(GATEWAY_KEY),
        **{**IMPATIENT, **settings},
    )
    database = Database(given, name="payment-service")
    try:
        yield Cashier(database, given, gateway)
    finally:
        await database.close()


IMPATIENT: dict[str, Any] = {
    "payment_gateway_timeout": timedelta(seconds=1),
    "payment_lease": timedelta(seconds=16),
    "payment_poll": timedelta(milliseconds=50),
    "payment_first_retry": timedelta(milliseconds=50),
    "payment_longest_retry": timedelta(milliseconds=200),
    "payment_look_again": timedelta(milliseconds=200),
    "payment_late_look": timedelta(milliseconds=400),
    "payment_breaker_calls": 50,
    "payment_breaker_open_for": timedelta(milliseconds=200),
}


@dataclass
class Cashier:
    """A database of payment-service, and all that can happen to its payments."""

    database: Database
    settings: Settings
    gateway: RunningGateway
    _offset: int = 0

    def charger(self) -> Charger:
        """Build the loop as the service does."""
        return build_charger(self.settings, self.database, build_breaker(self.settings))

    @asynccontextmanager
    async def charging(self) -> AsyncIterator[None]:
        """Run the loop beside the block, then stop it as the service does."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.charger().run(stop))
        try:
            yield
        finally:
            stop.set()
            await running

    async def hear(self, *events: Event) -> list[Record]:
        """Hear facts in one batch, as the consumer would."""
        records = [self.record(event) for event in events]
        await self.replay(records)
        return records

    async def replay(self, records: Sequence[Record]) -> None:
        """Hear records, perhaps not for the first time."""
        shell = Shell(SUBSCRIPTION, database=self.database)
        assert await shell.handle(records, asyncio.Event())

    def record(self, event: Event) -> Record:
        """Put an event on the wire, as its producer does."""
        self._offset += 1
        headers = {
            "ce_type": event.type_name(),
            "ce_id": str(uuid7()),
            "ce_source": f"/{avro.source_of(event.TOPIC)}",
            "ce_time": datetime.now(UTC).isoformat(),
            "ce_correlationid": "story-1",
        }
        return Record(
            topic=event.TOPIC,
            partition=0,
            offset=self._offset,
            timestamp=datetime.now(UTC),
            key=event.key().encode(),
            value=_frame(event),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        )

    async def due(self, payment_method: str = "pm_ok", amount: int = 2208) -> UUID:
        """Make an order's payment due."""
        order_id = uuid7()
        await self.hear(placed(order_id, payment_method, amount), StockReserved(order_id=order_id))
        return order_id

    async def confirm(self, *order_ids: UUID) -> None:
        """Pass the pivot."""
        await self.hear(*(OrderConfirmed(order_id=order_id) for order_id in order_ids))

    async def payment(self, order_id: UUID) -> Any:
        """See a payment's row."""
        (row,) = await self.rows("SELECT * FROM payments WHERE order_id = $1", order_id)
        return row

    async def has(self, order_id: UUID, have: str) -> bool:
        """Tell whether the provider is known to have done that, and nothing is left to do."""
        row = await self.payment(order_id)
        return row["have"] == have and row["operation"] is None

    async def said(self, order_id: UUID) -> list[Event]:
        """See what was announced of a payment."""
        rows = await self.rows(
            "SELECT type, payload FROM outbox WHERE aggregateid = $1 AND topic = 'payments.v1' "
            "ORDER BY id",
            str(order_id).encode(),
        )
        return [avro.decode(row["payload"], getattr(messages, row["type"])) for row in rows]

    async def words(self, order_id: UUID) -> list[str]:
        """See the names of what was announced."""
        return [event.type_name() for event in await self.said(order_id)]

    async def watch_books(self) -> int:
        """Look at the books as the service does now and then."""
        return await handlers.watch_books(
            self.database,
            every=self.settings.payment_reconcile_every,
            hold_alarm=self.settings.payment_hold_alarm,
            keep=self.settings.payment_records_keep,
        )

    async def rows(self, sql: str, *args: object) -> Sequence[Any]:
        """Look into the database."""
        async with self.database.transaction() as tx:
            return await tx.fetch(sql, *args)

    def effects(self, order_id: UUID) -> list[tuple[str, int]]:
        """See what moved at the gateway, by its own ledger."""
        query = "SELECT kind, amount FROM effects WHERE order_id = ? ORDER BY seq"
        return [(kind, amount) for kind, amount in self.gateway.rows(query, str(order_id))]


def placed(order_id: UUID, payment_method: str = "pm_ok", amount: int = 2208) -> OrderPlaced:
    """Place an order, as payment hears it."""
    total = Money(amount=amount, currency="GBP")
    return OrderPlaced(
        order_id=order_id, customer_id=CUSTOMER, total=total, payment_method=payment_method
    )


def _frame(event: Event) -> bytes:
    fields = _UNREAD | event.model_dump()
    schema_id = avro.schema_id(event)
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(buffer, avro.contract().by_id[schema_id][1], fields)
    return buffer.getvalue()
