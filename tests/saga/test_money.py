"""A provider that fails a third of all calls, customers who regret: no penny goes astray.

`make money` does it with 10,000 orders.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from demo.shop import Customer, Shop
from devstack.deployment import Deployment
from devstack.simulator import launch
from devstack.simulator.moods import Mood
from devstack.stack import Stack
from invariants.checker import check
from invariants.sources import Sources

from tests.saga.conftest import open_shop, sold_everywhere
from tests.support.kafka import Topics
from tests.support.postgres import Databases
from tests.support.waiting import eventually

ORDERS = int(os.environ.get("MONEY_ORDERS", "300"))
SEED = int(os.environ.get("MONEY_SEED", "1"))
BUYERS = 8
CANCELS = 0.2

pytestmark = [pytest.mark.saga, pytest.mark.timeout(240 + ORDERS // 5)]

TROUBLE = {"errors": 0.30, "hangs": 0.05, "lost": 0.02, "median": 0.005, "p99": 0.1, "seed": SEED}
IMPATIENT = {
    "PAYMENT_GATEWAY_TIMEOUT": "1s",
    "PAYMENT_GATEWAY_CLOCK_SKEW": "2s",
    "PAYMENT_LEASE": "16s",
    "PAYMENT_FIRST_RETRY": "50ms",
    "PAYMENT_LONGEST_RETRY": "1s",
    "PAYMENT_LOOK_AGAIN": "500ms",
    "PAYMENT_LATE_LOOK": "2s",
    "PAYMENT_BREAKER_CALLS": "10",
    "PAYMENT_BREAKER_OPEN_FOR": "200ms",
}
METHODS = (
    *["pm_ok"] * 10,
    "pm_declined",
    "pm_capture_fails",
    "pm_expires",
    *(f"pm_answer_{mood.replace('-', '_')}" for mood in Mood),
    "pm_error_5xx",
    "pm_webhook_first",
    "pm_webhook_late",
    "pm_webhook_shuffled",
    "pm_webhook_forged",
    "pm_webhook_stale",
)


async def test_charges_less_refunds_are_the_total_or_nothing_whatever_the_provider_does(
    stack: Stack, services: Deployment, databases: Databases, topics: Topics
) -> None:
    services.overrides["payment"] = IMPATIENT
    await services.start()
    shop, customer = await open_shop(
        services.url("order"),
        services.url("inventory"),
        stack.signing_key.read_text(),
        stock=10 * ORDERS,
    )
    db = await asyncpg.connect(databases.admin_dsn)
    await eventually(lambda: sold_everywhere(db))
    await services.send_webhooks("twice")
    await launch.tell(stack.gateway_url, "chances", **TROUBLE)
    try:
        async with shop:
            await _buy(shop, customer)
        report = await check(
            Sources(
                database_url=databases.admin_dsn,
                kafka=stack.bootstrap,
                ledger=stack.gateway_ledger,
                mail=stack.mail_dir,
                topic_prefix=topics.prefix,
            ),
            deadline=timedelta(seconds=180),
        )
    finally:
        await launch.tell(stack.gateway_url, "chances")
        await launch.tell(stack.gateway_url, "webhooks")

    assert report.holds, [finding for finding in report.findings if not finding.holds]
    await _check_story(db)
    await db.close()


async def _buy(shop: Shop, customer: Customer) -> None:
    """Place all orders, and think better of one in five, at some time."""
    chance = random.Random(SEED)  # noqa: S311  chance, not secrecy
    turns, doubts = asyncio.Semaphore(BUYERS), asyncio.TaskGroup()

    async def order(method: str, regret: float | None) -> None:
        async with turns:
            items = (("LANTERN", 1),)
            _, answer = await shop.place(customer, str(uuid4()), items, method)
            assert answer.status == 202, answer.body
        if regret is not None:
            await asyncio.sleep(regret)
            await shop.cancel(customer, str(uuid4()), answer.body["orderId"])

    async with doubts:
        for _ in range(ORDERS):
            regret = chance.random() * 3 if chance.random() < CANCELS else None
            doubts.create_task(order(chance.choice(METHODS), regret))


async def _check_story(db: asyncpg.Connection[asyncpg.Record]) -> None:
    """See that it was not all quiet: every way to end was taken, and webhooks came and counted."""
    ends = Counter(row["status"] for row in await db.fetch("SELECT status FROM orders.orders"))
    verdicts = await db.fetch(
        "SELECT verdict, count(*) AS n FROM payments.webhook_events GROUP BY verdict"
    )
    told = {row["verdict"]: row["n"] for row in verdicts}
    print(f"orders: {dict(ends)}; webhooks: {told}")  # noqa: T201  shown by `make money`

    assert sum(ends.values()) == ORDERS
    assert set(ends) == {"COMPLETED", "CANCELLED", "REJECTED"}
    assert told["NOTED"] > ORDERS / 2
    assert not {"MISMATCH", "UNEXPLAINED", "UNKNOWN_PAYMENT"} & set(told)
