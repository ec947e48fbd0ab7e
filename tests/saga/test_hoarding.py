"""A bot that orders and does not pay, against the real inventory."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import httpx2
import pytest
from devstack.deployment import Deployment
from devstack.stack import Stack

from tests.saga.conftest import open_shop, sold_everywhere
from tests.support.postgres import Databases
from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]

STOCK = 100
CAP = 3


async def test_a_bot_that_never_pays_holds_a_little_and_not_for_long(
    stack: Stack, services: Deployment, databases: Databases
) -> None:
    services.overrides["order"] = {
        "OPEN_ORDERS_MAX": str(CAP),
        "ORDER_DEADLINE": "1m",
        "TIMERS_POLL": "200ms",
    }
    await services.start("order", "inventory")  # nobody takes its money
    shop, bot = await open_shop(
        services.url("order"), services.url("inventory"), stack.signing_key.read_text(), STOCK
    )
    db = await asyncpg.connect(databases.admin_dsn)

    async def order(http: httpx2.AsyncClient) -> int:
        headers = {"Authorization": f"Bearer {bot.access_token}", "Idempotency-Key": str(uuid4())}
        body = {"items": [{"sku": "LANTERN", "quantity": 20}]}
        return (await http.post("/api/v1/orders", json=body, headers=headers)).status_code

    async def shelf() -> tuple[int, int]:
        row = await db.fetchrow("SELECT available, reserved FROM inventory.stock")
        assert row
        return row["available"], row["reserved"]

    async def reserved() -> bool:
        return await shelf() == (STOCK - CAP * 20, CAP * 20)

    async def free() -> bool:
        return await shelf() == (STOCK, 0)

    async def pass_a_minute() -> None:
        await db.execute("UPDATE orders.orders SET deadline_at = deadline_at - interval '1 minute'")

    async with shop, httpx2.AsyncClient(base_url=services.url("order")) as http:
        await eventually(lambda: sold_everywhere(db))
        answers = [await order(http) for _ in range(10)]

        assert sorted(answers) == [202] * CAP + [429] * (10 - CAP)
        await eventually(reserved)
        await pass_a_minute()
        await eventually(free)
    assert await db.fetchval("SELECT count(*) FROM orders.orders WHERE status <> 'EXPIRED'") == 0
    await db.close()
