"""P12: how long it takes to catch up after the broker was away while orders kept coming."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from devstack.ports import accepts

from benchmarks import judge, throughput
from benchmarks.driver import Driver, LoadError
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.observer import observe
from benchmarks.overload import UNLIMITED
from benchmarks.rig import Rig

SETTINGS = {
    **UNLIMITED,
    "OUTBOX_MAX_ROWS": "10000000",
    "OUTBOX_MAX_AGE": "1h",
    "ORDER_DEADLINE": "2h",
}
"""What waits for the broker is neither refused nor does it expire."""
CAPACITY_ORDERS = 5000
SLOWEST = 50.0
"""Orders a second: a backlog that takes longer than this will not end."""
BESIDE_P2 = "time to all completed : backlog / P2"
UNSETTLED = "SELECT count(*) FROM orders.orders WHERE settled_at IS NULL"

ROW = Row("P12", "backlog after the broker was away", {BESIDE_P2: Aim(1.5)})


async def measure(rig: Rig, size: Size) -> Found:
    """Find out what is completed usually; then let so many orders wait, and time their way."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        load = await driver.burst(min(CAPACITY_ORDERS, size.orders))
        capacity = await throughput.completed_per_second(observer, load)
    await judge.settle(rig)
    async with Driver(rig) as driver:
        async with _without_broker(rig):
            load = await driver.burst(size.orders)
        began = time.perf_counter()
        patience = 60 + size.orders / SLOWEST
        await _settled(rig, patience)
        completed = time.perf_counter() - began
        await judge.settle(rig, patience)
        rested = time.perf_counter() - began
    return {
        ROW.id: {
            BESIDE_P2: completed * capacity / size.orders,
            "s until all are completed": completed,
            "s until all rests": rested,
            "P2 completed orders/s": capacity,
            "catching up, orders/s": size.orders / completed,
            **throughput.accepted(load),
        }
    }


@asynccontextmanager
async def _without_broker(rig: Rig) -> AsyncIterator[None]:
    """Stop the broker; at the end it is there again, with its logs, at the same address."""
    processes = rig.stack.processes
    broker = processes["kafka"]
    broker.send(signal.SIGTERM)
    async with asyncio.timeout(judge.PATIENCE):
        while broker.running:  # noqa: ASYNC110  another process ends
            await asyncio.sleep(0.1)
    processes.kill("kafka")
    yield
    port = int(rig.stack.bootstrap.rpartition(":")[2])

    async def listens() -> bool:
        return await accepts(port)

    await processes.spawn(broker.program).ready(listens)


async def _settled(rig: Rig, patience: float) -> None:
    """Wait for the orders alone: this count is cheap, however many there are."""
    db = await asyncpg.connect(rig.sources.database_url)
    try:
        deadline = time.monotonic() + patience
        while left := await db.fetchval(UNSETTLED):
            if time.monotonic() > deadline:
                message = f"{left} orders are not settled after {patience:.0f} s"
                raise LoadError(message)
            await asyncio.sleep(0.5)
    finally:
        await db.close()
