"""P1: from POST to a durable 202, beside a bare route with the same batch insert."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from devstack.ports import LOCALHOST, accepts, free_port
from devstack.processes import Program, python

from benchmarks import judge, throughput
from benchmarks.driver import Driver, any_products
from benchmarks.figures import Aim, Row, percentile
from benchmarks.latency import WARM_UP
from benchmarks.measurement import Found, Size
from benchmarks.rig import Rig
from benchmarks.side import Side, side

MS = 1000
LINES = 3
RATE = 300.0
SPEED, BESIDE_BARE = "accepted orders/s", "API alone : bare Starlette"

ROW = Row(
    "P1",
    f"POST → 202, {LINES} lines",
    {
        SPEED: Aim(1500, at_least=True),
        f"at {RATE:g}/s: POST → 202 p99 ms": Aim(30),
        BESIDE_BARE: Aim(0.5, at_least=True),
    },
)


async def measure(rig: Rig, size: Size) -> Found:
    """Place orders in a closed and an open loop; then at the API alone, and at the bare route."""
    basket = any_products(LINES)
    async with Driver(rig, basket=basket) as driver:
        closed = throughput.accepted(await driver.burst(size.orders))
        await judge.settle(rig)
        took = (await driver.at_rate(RATE, WARM_UP + size.seconds)).to_accepted(after=WARM_UP)
        await judge.settle(rig)
    async with side(rig, "p1") as other:
        await other.deployment.start_beside("order", "api")
        alone = await _speed(rig, other.deployment.url("order"), size.orders)
        await other.deployment.stop("order")
        async with bare(rig, other) as url:
            plain = await _speed(rig, url, size.orders)
    steady = {
        f"at {RATE:g}/s: POST → 202 p{percent:g} ms": percentile(took, percent) * MS
        for percent in (50, 99)
    }
    return {
        ROW.id: {
            **closed,
            **steady,
            BESIDE_BARE: alone / plain,
            "API alone orders/s": alone,
            "bare Starlette orders/s": plain,
        }
    }


async def _speed(rig: Rig, url: str, orders: int) -> float:
    async with Driver(rig, basket=any_products(LINES), url=url) as driver:
        await driver.burst(orders // 10)
        return throughput.accepted(await driver.burst(orders))[SPEED]


@asynccontextmanager
async def bare(rig: Rig, other: Side) -> AsyncIterator[str]:
    """Run the bare server on the other side's database; gives its URL."""
    port = free_port()
    env = other.deployment.env("order") | {"PORT": str(port)}
    program = Program("bare", python("-m", "benchmarks.bare"), env=env, needs_servers=True)
    server = rig.stack.processes.spawn(program)

    async def listens() -> bool:
        return await accepts(port)

    await server.ready(listens)
    yield f"http://{LOCALHOST}:{port}"
    await rig.stack.processes.stop("bare")
