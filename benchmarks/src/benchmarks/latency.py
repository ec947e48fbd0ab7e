"""P3: a steady trickle of orders, each timed from when it was meant to be sent, and its price."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks import judge, meter
from benchmarks.driver import Driver, Load
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.measurement import Found, Size
from benchmarks.observer import Observer, observe
from benchmarks.rig import Rig
from benchmarks.throughput import completed_per_second

MS = 1000
STEADY_RATE = 50.0
WARM_UP = 10.0
"""Seconds of an open loop that are not counted: connections, caches and compiled plans are new."""
ALREADY_WARM = 3.0
"""Seconds until a load is as it will stay, where there was another one before it."""
PERCENTS = (50, 75, 90, 95, 99, 99.9)
AT_HALF = "at half of P2"

ROW = Row(
    "P3",
    f"open loop, {STEADY_RATE:g} orders/s",
    {
        "POST → CONFIRMED p50 ms": Aim(60),
        "POST → CONFIRMED p99 ms": Aim(250),
        f"{AT_HALF}: POST → CONFIRMED p99 ms": Aim(250),
    },
)


@dataclass(frozen=True, slots=True)
class Steady:
    """What an open loop showed after its warm-up."""

    load: Load
    warm_up: float
    steps: Mapping[str, Mapping[str, float]]
    """Step → order → when it got there."""
    price: Values

    def percentiles(self, percents: Iterable[float] = PERCENTS) -> Values:
        return dict(self._percentiles(percents))

    def _percentiles(self, percents: Iterable[float]) -> Iterable[tuple[str, float]]:
        for name, seen in self.steps.items():
            took = self.load.until(seen, after=self.warm_up)
            for percent in percents:
                yield f"POST → {name} p{percent:g} ms", percentile(took, percent) * MS


async def measure(rig: Rig, size: Size) -> Found:
    """Order at 50/s, then at half of what the suite can complete."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        steady = await trickle(rig, observer, driver, rate=STEADY_RATE, seconds=size.seconds)
        capacity = await completed_per_second(observer, await driver.burst(size.orders))
        await judge.settle(rig)
        half = await trickle(
            rig, observer, driver, rate=capacity / 2, seconds=size.seconds, warm_up=ALREADY_WARM
        )
    figures = dict(steady.percentiles())
    figures |= {f"CPU ms an order, {name}": value for name, value in steady.price.items()}
    figures |= {f"{AT_HALF}: {name}": value for name, value in half.percentiles((50, 99)).items()}
    figures[f"{AT_HALF}: orders/s"] = capacity / 2
    figures[f"{AT_HALF}: CPU ms an order, {meter.ALL}"] = half.price[meter.ALL]
    return {ROW.id: figures}


async def trickle(
    rig: Rig,
    observer: Observer,
    driver: Driver,
    *,
    rate: float,
    seconds: float,
    warm_up: float = WARM_UP,
) -> Steady:
    """Order at a rate for so long after the warm-up, until the last order is completed."""
    async with asyncio.TaskGroup() as group:
        warm = group.create_task(_cpu_after(rig, warm_up))
        load = await driver.at_rate(rate, warm_up + seconds)
    await observer.wait("OrderConfirmed", load.meant, seconds=judge.PATIENCE)
    await observer.wait("OrderCompleted", load.meant, seconds=judge.PATIENCE)
    counted = len(load.to_accepted(after=warm_up))
    steps = {
        "202": load.answered,
        "CONFIRMED": observer.seen["OrderConfirmed"],
        "COMPLETED": observer.seen["OrderCompleted"],
    }
    return Steady(load, warm_up, steps, meter.price(warm.result(), meter.cpu_seconds(rig), counted))


async def _cpu_after(rig: Rig, seconds: float) -> Mapping[str, float]:
    await asyncio.sleep(seconds)
    return meter.cpu_seconds(rig)
