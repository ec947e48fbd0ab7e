"""Services that die under load: nothing is lost, doubled or oversold."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
from demo.stage import DemoError
from devstack.stack import Stack
from devstack.topology import SERVICES
from invariants.checker import check
from invariants.sources import Sources

from tests.saga.conftest import STOCK, Town, open_shop, sold_everywhere
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.deployment import Deployment

pytestmark = [pytest.mark.saga, pytest.mark.timeout(600)]

KILLS = 20
METHODS = ("pm_ok", "pm_ok", "pm_ok", "pm_declined", "pm_answer_lost")


async def test_killing_every_service_under_load_breaks_no_invariant() -> None:
    # A stack of its own: the gateway's ledger is compared with the orders, all of it.
    async with Stack.start(durable=False) as stack:
        services = await stack.start_services()
        db = await asyncpg.connect(stack.admin_dsn)
        shop, customer = await open_shop(
            services.url("order"), services.url("inventory"), stack.signing_key.read_text()
        )
        await eventually(lambda: sold_everywhere(db))
        async with shop:
            town = Town(shop, customer, db)
            buying = [asyncio.create_task(_buy(town, seed)) for seed in range(8)]
            await _kill_in_turn(services)
            for task in buying:
                task.cancel()
            await asyncio.gather(*buying, return_exceptions=True)
        await db.close()
        report = await check(
            Sources(
                database_url=stack.admin_dsn,
                kafka=stack.bootstrap,
                ledger=stack.gateway_ledger,
                mail=stack.mail_dir,
            ),
            deadline=timedelta(seconds=180),
        )
        assert report.holds, [finding for finding in report.findings if not finding.holds]


async def _buy(town: Town, seed: int) -> None:
    """Order and sometimes cancel, until told to stop; more than there is in stock.

    A service that is away for longer than a customer's patience costs that order, not the customer.
    """
    chance = random.Random(seed)  # noqa: S311
    while True:
        try:
            order = await town.order(chance.randint(1, STOCK // 20), chance.choice(METHODS))
            if chance.random() < 0.2:
                await town.cancel(order)
        except DemoError:
            continue
        await asyncio.sleep(chance.random() * 0.1)


async def _kill_in_turn(services: Deployment) -> None:
    names = list(SERVICES)
    for turn in range(KILLS):
        name = names[turn % len(names)]
        await asyncio.sleep(0.5)
        services.kill(name)
        await services.start(name)
