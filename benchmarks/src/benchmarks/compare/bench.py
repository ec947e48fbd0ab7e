"""One run of one peer: a database of its own, workers, orders, and the judge at the end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from devstack.stack import Stack

from benchmarks import judge, meter
from benchmarks.compare import verdict
from benchmarks.compare.peers import PROGRAMS, Peer, Setting
from benchmarks.compare.stand import Stand, new_name, stand
from benchmarks.compare.world import World, world
from benchmarks.driver import LoadError
from benchmarks.figures import Values, percentile
from benchmarks.rig import SKUS, STOCK

MS = 1000
POLL_SECONDS = 0.25
WARM_UP = 100
"""Orders that are not counted: connections, caches and compiled plans are new."""
SETTLING = 2.0
"""Seconds of a trickle that are not counted: the client that places it has just started."""
STOCKED = "INSERT INTO stock SELECT unnest($1::text[]), $2"
COMPLETED = "SELECT count(*) FROM orders WHERE completed_at IS NOT NULL"


@dataclass(slots=True)
class Submitted:
    """What the peer's own client wrote down; times are the wall clock's, in seconds."""

    meant: dict[str, float]
    amounts: dict[str, int]
    accepted: float
    units: int
    cpu: float


@dataclass(slots=True)
class Bench:
    """A peer that runs."""

    stand: Stand
    world: World
    runs: int = 0
    units: int = 0
    told_again: int = 0
    placed: dict[str, int] = field(default_factory=dict)

    async def run(self, orders: int, rate: float = 0) -> tuple[Submitted, float]:
        """Place orders and wait until all are complete and told; returns the end, too."""
        self.runs += 1
        began = time.time_ns()
        out = self.stand.stack.state / f"{self.stand.peer.name}-{began}.json"
        await self.stand.do("submit", "--orders", orders, "--rate", rate, "--out", out)
        submitted = Submitted(**json.loads(out.read_text()))
        self.placed |= submitted.amounts
        self.units += submitted.units
        return submitted, await self._finish(submitted, began)

    async def _finish(self, submitted: Submitted, began: int) -> float:
        letters = verdict.Letters(self.world.mail, began, submitted.meant)
        deadline = time.monotonic() + judge.PATIENCE
        while (done := await self.stand.database.fetchval(COMPLETED)) < len(self.placed) or len(
            letters.look()
        ) < len(submitted.meant):
            self.stand.refuse_when_ended()
            if time.monotonic() > deadline:
                message = f"{done} of {len(self.placed)} orders completed in {judge.PATIENCE:.0f} s"
                raise LoadError(message)
            await asyncio.sleep(POLL_SECONDS)
        self.told_again += letters.judge()
        completed = await self.stand.database.fetchval("SELECT max(completed_at) FROM orders")
        return max(float(completed.timestamp()), letters.last)

    async def judge(self) -> None:
        """Refuse the whole when it lost or doubled anything."""
        await verdict.judge(self.stand.database, self.world.ledger, self.placed, self.units)

    def cpu_seconds(self) -> dict[str, float]:
        """Return what its workers and its servers have used so far."""
        pids = self.stand.stack.processes.pids
        used = meter.family_seconds
        mine = sum(used(worker.pid) for worker in self.stand.workers)
        return {"peer": mine} | {name: used(pids[name]) for name in self.stand.peer.servers}


async def attempt(stack: Stack, peer: Peer, setting: Setting, orders: int) -> Values:
    """Complete a closed backlog; raises LoadError when anything is wrong."""
    async with running(stack, peer, setting) as bench:
        await bench.run(WARM_UP)
        found = await _backlog(bench, orders)
        await bench.judge()
    return found


async def measure(
    stack: Stack, peer: Peer, setting: Setting, orders: int, *, rate: float, seconds: float
) -> Values:
    """Complete a closed backlog, then a trickle; raises LoadError when anything is wrong."""
    async with running(stack, peer, setting) as bench:
        await bench.run(WARM_UP)
        found = await _backlog(bench, orders)
        trickle, _ = await bench.run(round(rate * (SETTLING + seconds)), rate)
        latencies = await _latencies(bench.stand.database, trickle)
        await bench.judge()
    return {**found, **delays(latencies), "e-mails sent again": bench.told_again}


async def _backlog(bench: Bench, orders: int) -> Values:
    before = bench.cpu_seconds()
    submitted, ended = await bench.run(orders)
    cpu = meter.spent(before, bench.cpu_seconds())
    cpu["peer"] += submitted.cpu
    return speed_and_price(orders, ended - min(submitted.meant.values()), cpu)


def speed_and_price(orders: int, seconds: float, cpu: Mapping[str, float]) -> Values:
    """Name what a backlog gave, for Pedido and its peers alike."""
    return {
        "orders/s": orders / seconds,
        "seconds": seconds,
        "CPU ms an order": sum(cpu.values()) / orders * MS,
    } | {f"CPU ms of {name}": used / orders * MS for name, used in cpu.items()}


def delays(latencies: list[float]) -> Values:
    """Name what a trickle gave."""
    return {f"p{percent} ms": percentile(latencies, percent) * MS for percent in (50, 99)}


async def _latencies(database: asyncpg.Connection, submitted: Submitted) -> list[float]:
    first = min(submitted.meant.values()) + SETTLING
    meant = {order: at for order, at in submitted.meant.items() if at >= first}
    rows = await database.fetch(
        "SELECT order_id, completed_at FROM orders WHERE order_id = ANY($1)", list(meant)
    )
    return [row["completed_at"].timestamp() - meant[row["order_id"]] for row in rows]


@asynccontextmanager
async def running(stack: Stack, peer: Peer, setting: Setting) -> AsyncIterator[Bench]:
    """Start a peer on a database and in a world of its own, and leave nothing of it behind."""
    name = new_name(peer)
    async with (
        world(stack.processes, stack.state / name, peer.name) as outside,
        stand(stack, peer, setting, name, outside.env) as place,
    ):
        await place.database.execute((PROGRAMS / "shop.sql").read_text())
        await place.database.execute(STOCKED, list(SKUS), STOCK)
        await place.start()
        yield Bench(place, outside)
