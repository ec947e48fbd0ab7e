"""P2 and P8: orders as fast as they are accepted, until the last is COMPLETED, and their price."""

from devstack.topology import SERVICES

from benchmarks import judge, meter
from benchmarks.driver import Driver, Load
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.measurement import Found, Size
from benchmarks.observer import Observer, observe
from benchmarks.rig import Rig

MS = 1000

SPEED = Row("P2", "as fast as accepted", {"completed orders/s": Aim(300, at_least=True)})
PRICE = Row("P8", "CPU ms per completed order", {meter.ALL: Aim(2.0)})
MEMORY = Row("P10a", "resident MiB after the load", dict.fromkeys(SERVICES, Aim(150)))


async def measure(rig: Rig, size: Size) -> Found:
    """Place so many orders in a closed loop."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        before = meter.cpu_seconds(rig)
        load = await driver.burst(size.orders)
        speed = await completed_per_second(observer, load)
        await judge.settle(rig)  # the last e-mails belong to the price, too
        price = meter.price(before, meter.cpu_seconds(rig), size.orders)
    return {
        SPEED.id: {"completed orders/s": speed, **accepted(load)},
        PRICE.id: price,
        MEMORY.id: meter.resident_mib(rig),
    }


async def completed_per_second(
    observer: Observer, load: Load, *, patience: float = judge.PATIENCE
) -> float:
    """Return the orders a second, from the first sent to the last completed."""
    last = await observer.wait("OrderCompleted", load.meant, seconds=patience)
    return len(load.meant) / (last - load.began)


def accepted(load: Load) -> Values:
    """Tell how fast the orders of a burst were answered."""
    took = load.to_accepted()
    return {
        "accepted orders/s": len(load.answered) / (max(load.answered.values()) - load.began),
        "POST → 202 p50 ms": percentile(took, 50) * MS,
        "POST → 202 p99 ms": percentile(took, 99) * MS,
    }
