"""The service as the process that it is: killed between the provider's yes and its own commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from common.message import Event, uuid7
from devstack.deployment import Deployment
from devstack.stack import Stack
from payment_service.messages import OrderConfirmed, StockReserved

from tests.support.cashier import Cashier, open_cashier, placed
from tests.support.gateway import RunningGateway
from tests.support.kafka import Topics
from tests.support.postgres import Databases
from tests.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest_asyncio.fixture
async def outside(stack: Stack, databases: Databases) -> AsyncIterator[Cashier]:
    """Look at the database and the gateway that the process uses."""
    gateway = RunningGateway(stack.gateway_url, stack.gateway_ledger)
    async with open_cashier(databases.app_dsn("payments"), gateway) as cashier:
        yield cashier


async def publish(topics: Topics, cashier: Cashier, *events: Event) -> None:
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        for event in events:
            record = cashier.record(event)
            await producer.send_and_wait(
                topics.name(record.topic),
                record.value,
                key=record.key,
                headers=[(name.decode(), value) for name, value in record.headers],
            )


async def announced(topics: Topics, count: int) -> list[str]:
    """Read so many events of payment's topic."""
    consumer = AIOKafkaConsumer(
        topics.name("payments.v1"),
        bootstrap_servers=topics.bootstrap,
        auto_offset_reset="earliest",
    )
    async with consumer:
        records = [await consumer.getone() for _ in range(count)]
    return [dict(record.headers)["ce_type"].decode() for record in records]


async def test_a_kill_between_the_providers_yes_and_the_commit_charges_once(
    services: Deployment, topics: Topics, outside: Cashier
) -> None:
    order_id = uuid7()
    await services.start("payment")
    # The effect is there at once, the answer a second later.
    await publish(topics, outside, placed(order_id, "pm_slow"), StockReserved(order_id=order_id))
    await eventually(lambda: outside.effects(order_id))
    services.kill("payment")
    assert (await outside.payment(order_id))["have"] == "NONE"

    await services.start("payment")
    await outside.rows("UPDATE payments SET next_at = now()")
    await eventually(partial(outside.has, order_id, "AUTHORIZED"))
    await publish(topics, outside, OrderConfirmed(order_id=order_id))
    await eventually(partial(outside.has, order_id, "CAPTURED"))

    assert outside.effects(order_id) == [("authorize", 2208), ("capture", 2208)]
    assert await announced(topics, 2) == ["PaymentAuthorized", "PaymentCaptured"]
