"""P13: how much a consumer's batch size is worth, from one message a transaction to hundreds."""

from devstack.topology import SERVICES

from benchmarks import judge, latency, meter, throughput
from benchmarks.driver import Driver
from benchmarks.figures import Row, Values
from benchmarks.measurement import Found, Size
from benchmarks.observer import observe
from benchmarks.rig import Rig

SETTING = "CONSUMER_MAX_RECORDS"
PATIENCE = 900.0
"""Seconds: one message a transaction takes ten times as long as all the others together."""
WARM_UP = 200

ROW = Row("P13", f"P2 and P3 by {SETTING}", {})


async def measure(rig: Rig, size: Size) -> Found:
    """Go through the batch sizes, with services that are started anew for each."""
    usual = dict(rig.services.overrides)
    figures: dict[str, float] = {}
    try:
        for step in size.steps:
            rig.services.overrides.update(
                {name: {**usual[name], SETTING: str(step)} for name in SERVICES}
            )
            await _start_anew(rig)
            found = await _measure(rig, size)
            figures |= {f"{step}: {name}": value for name, value in found.items()}
    finally:
        rig.services.overrides.update(usual)
        await _start_anew(rig)
    return {ROW.id: figures}


async def _start_anew(rig: Rig) -> None:
    await rig.services.stop()
    await rig.services.start()


async def _measure(rig: Rig, size: Size) -> Values:
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        await driver.burst(WARM_UP)
        await judge.settle(rig, PATIENCE)
        before = meter.cpu_seconds(rig)
        load = await driver.burst(size.orders)
        speed = await throughput.completed_per_second(observer, load, patience=PATIENCE)
        await judge.settle(rig, PATIENCE)
        price = meter.price(before, meter.cpu_seconds(rig), size.orders)
        steady = await latency.trickle(
            rig,
            observer,
            driver,
            rate=latency.STEADY_RATE,
            seconds=size.seconds,
            warm_up=latency.ALREADY_WARM,
        )
        await judge.settle(rig, PATIENCE)
    return {
        "completed orders/s": speed,
        "CPU ms an order": price[meter.ALL],
        "at 50/s: CPU ms an order": steady.price[meter.ALL],
        **{f"at 50/s: {name}": value for name, value in steady.percentiles((50, 99)).items()},
    }
