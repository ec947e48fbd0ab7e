"""P9: what a session costs that forgets its transaction: nothing it could see is vacuumed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from benchmarks import judge, meter, throughput
from benchmarks.driver import Driver
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.latency import ALREADY_WARM, Steady, trickle
from benchmarks.measurement import Found, Size
from benchmarks.observer import Observer, observe
from benchmarks.rig import Rig

MS = 1000
WINDOW = 5.0
"""Seconds whose p99 is compared with that of the time before."""
NEAR = 1.2
"""Times the p99 of the time before: as good as recovered."""
AFTERWARDS = 60.0
"""Seconds of the loads before and after, at most."""

ROW = Row(
    "P9",
    "a session idle in its transaction, at half of P2",
    {
        "orders/s, held : before": Aim(0.9, at_least=True),
        "P2, held : before": Aim(0.9, at_least=True),
        "s until p99 is back": Aim(60),
    },
)


async def measure(rig: Rig, size: Size) -> Found:
    """Order at half of P2 before, during so many seconds of it, and after; P2 at both ends."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        capacity = await _capacity(rig, observer, driver, size.orders)
        half, around = capacity / 2, min(AFTERWARDS, size.seconds)

        async def steady(seconds: float) -> Steady:
            return await trickle(
                rig, observer, driver, rate=half, seconds=seconds, warm_up=ALREADY_WARM
            )

        before = await steady(around)
        async with _held(rig):
            during = await steady(size.seconds)
            squeezed = await _capacity(rig, observer, driver, size.orders)
        after = await steady(around)
    return {
        ROW.id: {
            "orders/s, held : before": _speed(during) / _speed(before),
            "P2, held : before": squeezed / capacity,
            "s until p99 is back": _recovery(before, after),
            "orders/s offered": half,
            **_told("before", before),
            **_told("held", during),
            **_told("after", after),
        }
    }


async def _capacity(rig: Rig, observer: Observer, driver: Driver, orders: int) -> float:
    capacity = await throughput.completed_per_second(observer, await driver.burst(orders))
    await judge.settle(rig)
    return capacity


@asynccontextmanager
async def _held(rig: Rig) -> AsyncIterator[None]:
    """Hold back the horizon of everything that is deleted from now on."""
    session = await asyncpg.connect(rig.sources.database_url)
    try:
        await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await session.execute("SELECT pg_current_xact_id()")
        yield
    finally:
        await session.close()


def _speed(steady: Steady) -> float:
    completed = steady.steps["COMPLETED"]
    last = max(completed[order] for order in steady.load.meant)
    return len(steady.load.meant) / (last - steady.load.began)


def _recovery(before: Steady, after: Steady) -> float:
    """Return the begin of the first window that is as good as the time before."""
    usual = percentile(before.load.until(before.steps["CONFIRMED"], after=ALREADY_WARM), 99)
    confirmed, load = after.steps["CONFIRMED"], after.load
    windows: dict[int, list[float]] = {}
    for order, meant in load.meant.items():
        windows.setdefault(int((meant - load.began) // WINDOW), []).append(confirmed[order] - meant)
    good = (n for n, took in sorted(windows.items()) if percentile(took, 99) <= NEAR * usual)
    return next(good, len(windows)) * WINDOW


def _told(when: str, steady: Steady) -> Values:
    found = steady.percentiles((50, 99))
    shown = ("POST → CONFIRMED p50 ms", "POST → CONFIRMED p99 ms")
    return {f"{when}: CPU ms an order": steady.price[meter.ALL]} | {
        f"{when}: {name}": found[name] for name in shown
    }
