"""P6: what it costs when everybody wants the same product."""

from collections.abc import Sequence
from random import Random

from benchmarks import judge, meter, throughput
from benchmarks.driver import Basket, Driver, any_products
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.observer import observe
from benchmarks.rig import SKUS, Rig

HOT_SHARE = 0.9
WEIGHTS = [1 / rank for rank in range(1, len(SKUS) + 1)]
"""Zipf's law with exponent 1.0: the second is wanted half as often as the first."""

ROW = Row(
    "P6",
    "P2 with products that many want",
    {
        "hot product : uniform": Aim(0.8, at_least=True),
        "Zipf 1.0 : uniform": Aim(0.8, at_least=True),
    },
)


def hot(chosen: Random) -> Sequence[str]:
    """Choose two, of which one is nearly always the same."""
    first = SKUS[0] if chosen.random() < HOT_SHARE else chosen.choice(SKUS[1:])
    return [first, *(sku for sku in chosen.sample(SKUS[1:], 2) if sku != first)][:2]


def zipf(chosen: Random) -> Sequence[str]:
    """Choose two different ones by Zipf's law."""
    first, second = chosen.choices(SKUS, WEIGHTS, k=2)
    while second == first:
        (second,) = chosen.choices(SKUS, WEIGHTS)
    return [first, second]


async def measure(rig: Rig, size: Size) -> Found:
    """Place the same number of orders for each kind of crowd, one after the other."""
    baskets = {"uniform": any_products(), "hot product": hot, "Zipf 1.0": zipf}
    figures: dict[str, float] = {}
    for name, basket in baskets.items():
        speed, price = await _burst(rig, basket, size.orders)
        figures |= {f"{name} completed orders/s": speed, f"{name} CPU ms an order": price}
    uniform = figures["uniform completed orders/s"]
    ratios = {name: figures[f"{name} completed orders/s"] / uniform for name in baskets}
    return {
        ROW.id: {
            "hot product : uniform": ratios["hot product"],
            "Zipf 1.0 : uniform": ratios["Zipf 1.0"],
            **figures,
        }
    }


async def _burst(rig: Rig, basket: Basket, orders: int) -> tuple[float, float]:
    async with observe(rig.stack.bootstrap) as observer, Driver(rig, basket=basket) as driver:
        before = meter.cpu_seconds(rig)
        load = await driver.burst(orders)
        speed = await throughput.completed_per_second(observer, load)
        await judge.settle(rig)
        return speed, meter.price(before, meter.cpu_seconds(rig), orders)[meter.ALL]
