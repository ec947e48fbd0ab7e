from __future__ import annotations

import io
import struct
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import fastavro
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from common import avro
from common.database import Database
from common.message import uuid7
from devstack.deployment import Deployment
from inventory_service.domain.products import AddProduct
from inventory_service.handlers import add_products
from inventory_service.messages import Money

from tests.support.kafka import Topics
from tests.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

_MONEY = {"amount": 100, "currency": "GBP"}


def frame(order_id: UUID) -> bytes:
    """Encode an order of two lamps as order-service does."""
    schema_id = avro.contract().ids["orders.v1", "OrderPlaced"]
    line = {"line_no": 1, "sku": "lamp", "quantity": 2, "unit_price": _MONEY}
    fields: dict[str, Any] = {
        "order_id": order_id,
        "customer_id": uuid7(),
        "lines": [line],
        "total": {"amount": 200, "currency": "GBP"},
        "payment_method": "pm_ok",
        "deadline_at": datetime.now(UTC) + timedelta(minutes=15),
    }
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(buffer, avro.contract().by_id[schema_id][1], fields)
    return buffer.getvalue()


async def place(topics: Topics, order_id: UUID) -> None:
    headers = {
        "ce_type": "OrderPlaced",
        "ce_id": str(uuid7()),
        "ce_source": "/order-service",
        "ce_time": datetime.now(UTC).isoformat(),
    }
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        await producer.send_and_wait(
            topics.name("orders.v1"),
            frame(order_id),
            key=str(order_id).encode(),
            headers=[(name, value.encode()) for name, value in headers.items()],
        )


async def heard(topics: Topics, topic: str, count: int) -> list[tuple[str, str]]:
    """Read so many records of a topic: type and key."""
    consumer = AIOKafkaConsumer(
        topics.name(topic), bootstrap_servers=topics.bootstrap, auto_offset_reset="earliest"
    )
    found: list[tuple[str, str]] = []

    async def poll() -> bool:
        polled = await consumer.getmany(timeout_ms=50)
        found.extend(
            (dict(record.headers)["ce_type"].decode(), record.key.decode())
            for records in polled.values()
            for record in records
        )
        return len(found) >= count

    async with consumer:
        await eventually(poll)
    return found


async def test_the_process_takes_orders_and_answers_on_its_topics(
    services: Deployment, topics: Topics, database: Database
) -> None:
    await services.start("inventory")
    async with database.transaction() as tx:
        price = Money(amount=100, currency="GBP")
        await add_products(tx, [AddProduct("lamp", "Lamp", price, 2)])
    order_id = uuid7()

    await place(topics, order_id)

    assert await heard(topics, "inventory.v1", 1) == [("StockReserved", str(order_id))]
    assert await heard(topics, "catalog.v1", 2) == [("ProductChanged", "lamp")] * 2
    await services.stop("inventory")
