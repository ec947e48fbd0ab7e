"""The broker is away for a minute, the database crashes: customers notice little, orders end."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
from demo.stage import DemoError
from devstack.ports import accepts
from devstack.stack import Stack
from devstack.topology import SERVICES
from invariants.checker import check
from invariants.sources import Sources

from tests.saga.conftest import Town, open_shop, sold_everywhere
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.deployment import Deployment

pytestmark = [pytest.mark.saga, pytest.mark.timeout(400)]

AWAY = 60


@dataclass
class City:
    """A town of its own whose servers may be harmed."""

    stack: Stack
    services: Deployment
    town: Town

    async def ended(self, server: str, how: signal.Signals) -> None:
        process = self.stack.processes[server]
        process.send(how)
        await eventually(lambda: not process.running, 60)

    async def back(self, server: str, port: int) -> None:
        program = self.stack.processes[server].program
        self.stack.processes.kill(server)
        await self.stack.processes.spawn(program).ready(lambda: accepts(port))

    async def holds(self) -> None:
        """See every invariant hold, once all has settled."""
        sources = Sources(
            database_url=self.stack.admin_dsn,
            kafka=self.stack.bootstrap,
            ledger=self.stack.gateway_ledger,
            mail=self.stack.mail_dir,
        )
        report = await check(sources, deadline=timedelta(seconds=120))
        assert report.holds, [finding for finding in report.findings if not finding.holds]

    def pids(self) -> list[int]:
        return [self.services.pid(name) for name in SERVICES]


@asynccontextmanager
async def city() -> AsyncIterator[City]:
    async with Stack.start(durable=False) as stack:
        services = await stack.start_services()
        db = await asyncpg.connect(stack.admin_dsn)
        shop, customer = await open_shop(
            services.url("order"), services.url("inventory"), stack.signing_key.read_text()
        )
        await eventually(lambda: sold_everywhere(db))
        async with shop:
            yield City(stack, services, Town(shop, customer, db))
        await db.close()


async def test_orders_are_taken_while_the_broker_is_away_and_end_when_it_is_back() -> None:
    async with city() as here:
        before = here.pids()
        port = int(here.stack.bootstrap.rpartition(":")[2])

        await here.ended("kafka", signal.SIGKILL)
        orders: list[UUID] = []
        async with asyncio.timeout(AWAY + 30):
            for _ in range(AWAY):
                orders.append(await here.town.order(1))  # fails unless the answer is 202
                await asyncio.sleep(1)
        await here.back("kafka", port)

        for order in orders:
            assert await here.town.settled(order, 90) == "COMPLETED"
        assert here.pids() == before
        await here.holds()


async def test_a_crash_of_the_database_answers_503_never_500_and_loses_no_order() -> None:
    async with city() as here:
        port = int(here.stack.admin_dsn.rpartition("/")[0].rpartition(":")[2])
        statuses: Counter[int] = Counter()
        accepted: list[UUID] = []
        stop = asyncio.Event()

        async def buy() -> None:
            while not stop.is_set():
                try:
                    _, answer = await here.town.shop.place(
                        here.town.customer, str(uuid4()), (("LANTERN", 1),), "pm_ok"
                    )
                except DemoError:
                    continue
                statuses[answer.status] += 1
                if answer.status == 202:
                    accepted.append(UUID(answer.body["orderId"]))
                await asyncio.sleep(0.05)

        buying = [asyncio.create_task(buy()) for _ in range(4)]
        for _ in range(3):
            await asyncio.sleep(2)
            await here.ended("postgres", signal.SIGQUIT)  # pg_ctl stop -m immediate
            await asyncio.sleep(1)
            await here.back("postgres", port)
        await asyncio.sleep(2)
        stop.set()
        await asyncio.gather(*buying)

        assert statuses.keys() <= {202, 503}, statuses
        assert statuses[202], statuses
        db = await asyncpg.connect(here.stack.admin_dsn)
        known = await db.fetchval(
            "SELECT count(*) FROM orders.orders WHERE order_id = ANY($1)", accepted
        )
        await db.close()
        assert known == len(accepted)
        await here.holds()
