"""P18: what a second process of each service costs, beside what the model in docs/scaling.md says.

An order costs the same work wherever it is done, and each batch that carries it a fixed price: two
loads of one process tell both, and so what is left for orders when twice as many batches are paid.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import asyncpg
from devstack.ports import LOCALHOST, free_port
from devstack.topology import SERVICES

from benchmarks import judge, meter
from benchmarks.driver import Driver, Load
from benchmarks.figures import Aim, Row, Values
from benchmarks.latency import STEADY_RATE
from benchmarks.measurement import Found, Size
from benchmarks.observer import Observer, observe
from benchmarks.rig import Rig
from benchmarks.throughput import completed_per_second

KIB = 1024
BESIDE = "consume"
WARM_UP = 1000
"""Orders that the second processes see before they count; they have their partitions then."""
BATCHES = "pedido_consumer_batch_size_count "

ROW = Row(
    "P18",
    "a second process of each service",
    {"predicted : measured orders/s": Aim(1.2), "measured : predicted orders/s": Aim(1.2)},
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one load cost, by the order."""

    speed: float
    """Completed orders a second."""
    cpu: float
    """Milliseconds, of the services, PostgreSQL and Kafka."""
    batches: float

    def figures(self, how: str) -> Values:
        return {
            f"completed orders/s, {how}": self.speed,
            f"CPU ms an order, {how}": self.cpu,
            f"batches an order, {how}": self.batches,
        }


async def measure(rig: Rig, size: Size) -> Found:
    """Order slowly, then fast, then fast at two processes of each service."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        load = _Loads(rig, observer, [rig.services.url(name) for name in SERVICES])
        slow = await load.cost(lambda: driver.at_rate(STEADY_RATE, size.seconds))
        before = await _stored(rig)
        fast = await load.cost(lambda: driver.burst(size.orders))
        stored = {name: after - before[name] for name, after in (await _stored(rig)).items()}
        async with _second_processes(rig) as urls:
            await driver.burst(WARM_UP)
            await judge.settle(rig)
            load.urls += urls
            two = await load.cost(lambda: driver.burst(size.orders))
    a_batch = (slow.cpu - fast.cpu) / (slow.batches - fast.batches)
    work = fast.cpu - a_batch * fast.batches
    # The machine has no more to give, and every process takes as many batches a second as the one.
    capacity, batches = fast.cpu * fast.speed, fast.batches * fast.speed * 2
    predicted = (capacity - a_batch * batches) / work
    return {
        ROW.id: {
            "CPU ms of an order's own work": work,
            "CPU ms of a batch": a_batch,
            "completed orders/s, two processes, predicted": predicted,
            "predicted : measured orders/s": predicted / two.speed,
            "measured : predicted orders/s": two.speed / predicted,
            **slow.figures("50 orders/s"),
            **fast.figures("one process"),
            **two.figures("two processes"),
            **{
                f"KiB an order, {name}": value / size.orders / KIB for name, value in stored.items()
            },
        }
    }


@dataclass(slots=True)
class _Loads:
    """Puts loads on a rig and asks its processes what they took."""

    rig: Rig
    observer: Observer
    urls: list[str]

    async def cost(self, place: Callable[[], Awaitable[Load]]) -> Cost:
        cpu, batches = meter.cpu_seconds(self.rig), await _batches(self.urls)
        load = await place()
        speed = await completed_per_second(self.observer, load)
        await judge.settle(self.rig)
        orders = len(load.meant)
        spent = meter.spent(cpu, meter.cpu_seconds(self.rig))
        suite = sum(seconds for name, seconds in spent.items() if _belongs(name))
        return Cost(speed, suite / orders * 1000, (await _batches(self.urls) - batches) / orders)


def _belongs(process: str) -> bool:
    return process.removesuffix(f"-{BESIDE}") in meter.SUITE


@asynccontextmanager
async def _second_processes(rig: Rig) -> AsyncIterator[Sequence[str]]:
    """Run a second consumer of every service; yields where each tells its metrics."""
    ports = {name: free_port() for name in SERVICES}
    for name, port in ports.items():
        await rig.services.start_beside(name, BESIDE, PORT=str(port))
    try:
        yield [f"http://{LOCALHOST}:{port}" for port in ports.values()]
    finally:
        await rig.services.stop()
        await rig.services.start()


async def _batches(urls: Sequence[str]) -> float:
    """Count the batches that these processes have taken so far."""
    async with aiohttp.ClientSession() as http:
        pages = await asyncio.gather(*(_page(http, f"{url}/metrics") for url in urls))
    lines = (line for page in pages for line in page.splitlines())
    return sum(float(line.removeprefix(BATCHES)) for line in lines if line.startswith(BATCHES))


async def _page(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url, raise_for_status=True) as answer:
        return await answer.text()


async def _stored(rig: Rig) -> dict[str, float]:
    """Measure what has been written so far, in bytes; the logs of topics keep what was sent."""
    db = await asyncpg.connect(rig.sources.database_url)
    try:
        wal = await db.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        tables = await db.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await db.close()
    logs = (rig.stack.state / "kafka" / "data").glob("*.v1-*/*.log")
    topics = sum(log.stat().st_size for log in logs)
    return {"WAL": float(wal), "tables": float(tables), "topics": float(topics)}
