"""Two processes of one service share its partitions, and one of them dies."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.saga.conftest import STOCK, Town, open_shop, sold_everywhere
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.support.kafka import Topics
    from tests.support.postgres import Databases

pytestmark = [pytest.mark.saga, pytest.mark.timeout(240)]

BUYERS, ROUNDS, SKUS = 8, 10, ("LANTERN", "LAMP", "TORCH")
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
SUMS = """
SELECT bool_and(s.available + s.reserved + s.sold = $1::bigint + m.back) AND sum(s.reserved) = 0
  FROM inventory.stock AS s
  JOIN (SELECT sku, coalesce(sum(quantity) FILTER (WHERE kind = 'restocked'), 0)::bigint AS back
          FROM inventory.movements GROUP BY sku) AS m USING (sku)
"""


async def test_two_inventories_never_deadlock_and_one_takes_over(
    stack: Stack, services: Deployment, databases: Databases, topics: Topics
) -> None:
    await services.start()
    await services.start_beside("inventory", "consume")
    await eventually(lambda: shared(topics))
    db = await asyncpg.connect(databases.admin_dsn)
    shop, customer = await open_shop(
        services.url("order"), services.url("inventory"), stack.signing_key.read_text()
    )
    await eventually(lambda: sold_everywhere(db))  # the others come by no event
    await add_products(db)
    async with shop:
        town = Town(shop, customer, db)
        buying = [asyncio.create_task(buy(town, seed)) for seed in range(BUYERS)]
        await eventually(lambda: many_placed(db))
        services.kill("inventory", "consume")
        orders = [order for placed in await asyncio.gather(*buying) for order in placed]
        for order in orders:
            await town.settled(order, 60)

    assert len(orders) == BUYERS * ROUNDS
    assert await db.fetchval(DEADLOCKS) == 0
    await eventually(lambda: db.fetchval(SUMS, STOCK))
    assert await db.fetchval("SELECT count(*) FROM inventory.parked") == 0
    await db.close()


async def add_products(db: asyncpg.Connection[asyncpg.Record]) -> None:
    """Put what the shop sells beside lanterns on both services' shelves."""
    await db.execute(
        """
        WITH kinds AS (SELECT unnest($1::text[]) AS sku),
        stocked AS (
            INSERT INTO inventory.stock (sku, name, price, currency, available)
            SELECT sku, sku, 100, 'GBP', $2 FROM kinds
        ), moved AS (
            INSERT INTO inventory.movements (sku, kind, quantity)
            SELECT sku, 'initial', $2 FROM kinds
        )
        INSERT INTO orders.products (sku, name, price, currency, active, available, version)
        SELECT sku, sku, 100, 'GBP', true, 'SOME', 1 FROM kinds
        """,
        [sku for sku in SKUS if sku != "LANTERN"],
        STOCK,
    )


async def buy(town: Town, seed: int) -> list[UUID]:
    """Order all products in any order of lines, sometimes without money, and cancel some."""
    chance = random.Random(seed)  # noqa: S311
    orders = []
    for _ in range(ROUNDS):
        items = tuple((sku, chance.randint(1, 3)) for sku in chance.sample(SKUS, len(SKUS)))
        method = chance.choice(("pm_ok", "pm_ok", "pm_declined"))
        _, answer = await town.shop.place(town.customer, str(uuid4()), items, method)
        assert answer.status == 202, answer.body
        orders.append(UUID(answer.body["orderId"]))
        if chance.random() < 0.2:
            await town.cancel(orders[-1])
        await asyncio.sleep(chance.random() * 0.2)
    return orders


async def many_placed(db: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Tell whether the load is well under way."""
    return await db.fetchval("SELECT count(*) FROM orders.orders") > BUYERS * ROUNDS // 3


async def shared(topics: Topics) -> bool:
    """Tell whether both processes are members of a group that has settled."""
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([topics.name("inventory-service")])
    finally:
        await admin.close()
    ((_, _, state, _, _, members, *_),) = answer.groups
    return state == "Stable" and len(members) == 2
