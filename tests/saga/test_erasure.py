"""A customer is erased: nothing anywhere knows who they were, and nothing brings it back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, ConsumerRecord
from devstack.deployment import Deployment
from devstack.stack import Stack

from tests.saga.conftest import open_shop, sold_everywhere
from tests.support.kafka import Topics
from tests.support.postgres import Databases
from tests.support.stores import Stores, mentions
from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(280)]

EMAIL = "wilhelmina.katz@example.com"
NAME = "Wilhelmina Katzenellenbogen"
WORDS = (EMAIL, "wilhelmina", "katzenellenbogen")
"""The address and each part of the name: nothing else in the suite holds any."""
PASSWORD = "gifts for everyone"
HOME = {"name": NAME, "lines": ["1 High Street"], "city": "York", "country": "GB"}

CONTACT = "SELECT email, name FROM notifications.customers WHERE customer_id = $1"
TOLD = "SELECT count(*) > 0 FROM notifications.notifications WHERE status = 'SENT'"
ASIDE = "SELECT payload FROM notifications.parked WHERE topic LIKE '%customers.v1'"
HEARD = """
    SELECT said.tombstone_due_at IS NULL AND said.version = kept.version
      FROM orders.customers AS said JOIN notifications.customers AS kept USING (customer_id)
     WHERE customer_id = $1
"""
"""One statement, so one moment: between two, an erasure is said and both versions look equal."""


@dataclass
class Life:
    """Somebody's account, and a look into everything that was written down."""

    customer_id: UUID
    http: httpx2.AsyncClient
    stores: Stores

    @property
    def db(self) -> asyncpg.Connection[asyncpg.Record]:
        return self.stores.db

    async def states(self) -> list[ConsumerRecord]:
        """Read all that was said of them on the topic of customers, oldest first."""
        key = str(self.customer_id).encode()
        return [
            record
            async for topic, record in self.stores.records()
            if topic == "customers.v1" and record.key == key
        ]

    async def say(self, record: ConsumerRecord, *headers: tuple[str, bytes]) -> None:
        """Say a record of theirs once more, with other headers."""
        producer = AIOKafkaProducer(bootstrap_servers=self.stores.stack.bootstrap)
        await producer.start()
        try:
            changed = [*record.headers, *headers]
            await producer.send_and_wait(
                record.topic, record.value, key=record.key, headers=changed
            )
        finally:
            await producer.stop()


@pytest_asyncio.fixture
async def life(
    stack: Stack, services: Deployment, databases: Databases, topics: Topics
) -> AsyncIterator[Life]:
    """Let somebody in who orders, is written to, mistypes a password and stays logged in."""
    services.overrides["order"] = {"TIMERS_POLL": "50ms"}
    await services.start()
    shop, _ = await open_shop(
        services.url("order"), services.url("inventory"), stack.signing_key.read_text()
    )
    db = await asyncpg.connect(databases.admin_dsn)
    await eventually(lambda: sold_everywhere(db))
    base = f"{services.url('order')}/api/v1"
    async with shop, httpx2.AsyncClient(base_url=base, timeout=30) as http:
        account = {"email": EMAIL, "password": PASSWORD, "name": NAME}
        customer_id = (await http.post("/auth/register", json=account)).json()["customerId"]
        await http.post("/auth/login", json={"email": EMAIL, "password": "a wrong one"})
        tokens = await http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {tokens.json()['accessToken']}"
        await http.patch("/auth/me", json={"name": NAME.upper()})
        yield Life(UUID(customer_id), http, Stores(stack, topics, db))
    await db.close()


async def _order(life: Life) -> dict[str, Any]:
    body = {"items": [{"sku": "LANTERN", "quantity": 1}], "shippingAddress": HOME}
    headers = {"Idempotency-Key": f"{EMAIL}-{uuid4()}"}
    answer = await life.http.post("/orders", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def test_nothing_knows_an_erased_customer(life: Life) -> None:
    await _order(life)
    await eventually(lambda: life.db.fetchval(TOLD), 60)
    first, *_ = await life.states()
    await life.say(first, ("ce_version", b"not a number"))
    await eventually(lambda: life.db.fetchval(ASIDE))
    known = await life.stores.columns_with(*WORDS)
    assert {
        "orders.customers.email",
        "orders.customers.name",
        "orders.idempotency_keys.key",
        "orders.shipping_addresses.name",
        "notifications.customers.email",
        "notifications.parked.payload",
    } <= known  # the search finds what is there

    erased = await life.http.delete("/auth/me")

    assert erased.status_code == 204
    await eventually(lambda: _forgotten(life))
    await eventually(lambda: _nowhere_in_a_table(life))
    await _nothing_but_the_past_on_topics(life)
    assert life.stores.logs_with(*WORDS) == []
    assert await life.stores.cached_with(*WORDS) == []

    await life.say(first)  # late, as a relay that was stopped might send it
    await _say_again(life)

    versions = [_version(record) for record in await life.states()]
    assert versions[-1] > max(versions[:-1])
    assert await _forgotten(life)
    assert await life.stores.columns_with(*WORDS) == set()
    answer = await life.http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 401


async def test_an_order_under_way_ends_without_whom_it_was_for(life: Life) -> None:
    order = await _order(life)

    await life.http.delete("/auth/me")

    status = "SELECT saga = 'COMPLETED' FROM orders.orders WHERE order_id = $1"
    await eventually(lambda: life.db.fetchval(status, UUID(order["orderId"])), 60)
    await eventually(lambda: _nowhere_in_a_table(life))
    assert life.stores.logs_with(*WORDS) == []


async def _say_again(life: Life) -> None:
    """Let the day pass after which an erasure is said once more, and have it heard."""
    await life.db.execute("UPDATE orders.customers SET tombstone_due_at = now()")
    await eventually(lambda: life.db.fetchval(HEARD, life.customer_id))


async def _forgotten(life: Life) -> bool:
    row = await life.db.fetchrow(CONTACT, life.customer_id)
    return row is not None and tuple(row) == (None, None)


async def _nowhere_in_a_table(life: Life) -> bool:
    found = await life.stores.columns_with(*WORDS)
    assert found == set()
    return True


async def _nothing_but_the_past_on_topics(life: Life) -> None:
    """Compaction takes what the topic of customers said before the tombstone, within the hour."""
    known = {topic async for topic, record in life.stores.records() if mentions(record, *WORDS)}
    assert known == {"customers.v1"}
    *before, last = await life.states()
    assert last.value is None
    assert _version(last) > max(map(_version, before))


def _version(record: ConsumerRecord) -> int:
    version = dict(record.headers)["ce_version"]
    return int(version) if version.isdigit() else 0
