"""Pedido's own turn among its peers: the same orders, the same finish line, the same judge."""

import time

from benchmarks import judge, meter
from benchmarks.compare import bench, verdict
from benchmarks.driver import Driver
from benchmarks.figures import Values
from benchmarks.observer import observe
from benchmarks.rig import Rig

WARM_UP = 500


async def measure(rig: Rig, orders: int, rate: float, seconds: float) -> Values:
    """Complete a closed backlog, then a trickle, with services that run only meanwhile."""
    await rig.services.start()
    try:
        async with Driver(rig) as driver:
            await driver.burst(WARM_UP)
            await judge.settle(rig)
            return await _measure(rig, driver, orders, rate, seconds)
    finally:
        await rig.services.stop()


async def _measure(rig: Rig, driver: Driver, orders: int, rate: float, seconds: float) -> Values:
    began = time.time_ns()
    since = time.perf_counter() - time.time()
    before = meter.cpu_seconds(rig)
    async with observe(rig.stack.bootstrap) as observer:
        load = await driver.burst(orders)
        completed = await observer.wait("OrderCompleted", load.meant, seconds=judge.PATIENCE)
        await judge.settle(rig)
        cpu = meter.spent(before, meter.cpu_seconds(rig))
        letters = verdict.Letters(rig.stack.mail_dir, began, load.meant)
        again = letters.judge()
        trickle = await driver.at_rate(rate, bench.SETTLING + seconds)
        await observer.wait("OrderCompleted", trickle.meant, seconds=judge.PATIENCE)
        latencies = trickle.until(observer.seen["OrderCompleted"], after=bench.SETTLING)
    await judge.settle(rig)
    await judge.verify(rig)
    seconds = max(completed, letters.last + since) - load.began
    price = {name: cpu[name] for name in meter.SUITE}
    return {
        **bench.speed_and_price(orders, seconds, price),
        **bench.delays(latencies),
        "e-mails sent again": again,
    }
