"""One run of one peer: a database of its own, workers, orders, and the judge at the end."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from devstack.dsn import of_database
from devstack.ports import free_port
from devstack.postgres import create_database, drop_database
from devstack.processes import Process, Program
from devstack.stack import Stack
from devstack.topology import GATEWAY_KEY

from benchmarks import judge, meter
from benchmarks.compare import verdict
from benchmarks.compare.environment import NODE
from benchmarks.compare.peers import PROGRAMS, PYTHON, Peer, Setting
from benchmarks.compare.world import World
from benchmarks.driver import LoadError
from benchmarks.figures import Values, percentile
from benchmarks.rig import SKUS, STOCK

MS = 1000
POLL_SECONDS = 0.25
WARM_UP = 100
"""Orders that are not counted: connections, caches and compiled plans are new."""
SETTLING = 2.0
"""Seconds of a trickle that are not counted: the client that places it has just started."""
PORTS = 4
"""As many as the greediest peer listens on."""
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

    stack: Stack
    peer: Peer
    database: asyncpg.Connection
    env: Mapping[str, str]
    world: World
    workers: list[Process]
    runs: int = 0
    units: int = 0
    told_again: int = 0
    placed: dict[str, int] = field(default_factory=dict)

    async def run(self, orders: int, rate: float = 0) -> tuple[Submitted, float]:
        """Place orders and wait until all are complete and told; returns the end, too."""
        self.runs += 1
        out = self.stack.state / f"{self.peer.name}-{time.time_ns()}.json"
        command = [PYTHON, self.peer.path, "submit"]
        options = ["--orders", orders, "--rate", rate, "--out", out]
        began = time.time_ns()
        name = f"{self.peer.name}-submit"
        await self.stack.processes.run(Program(name, [*command, *options], env=self.env))
        submitted = Submitted(**json.loads(out.read_text()))
        self.placed |= submitted.amounts
        self.units += submitted.units
        return submitted, await self._finish(submitted, began)

    async def _finish(self, submitted: Submitted, began: int) -> float:
        letters = verdict.Letters(self.world.mail, began, submitted.meant)
        deadline = time.monotonic() + judge.PATIENCE
        while (done := await self.database.fetchval(COMPLETED)) < len(self.placed) or len(
            letters.look()
        ) < len(submitted.meant):
            for worker in self.workers:
                worker.refuse_when_ended()
            if time.monotonic() > deadline:
                message = f"{done} of {len(self.placed)} orders completed in {judge.PATIENCE:.0f} s"
                raise LoadError(message)
            await asyncio.sleep(POLL_SECONDS)
        self.told_again += letters.judge()
        completed = await self.database.fetchval("SELECT max(completed_at) FROM orders")
        return max(float(completed.timestamp()), letters.last)

    async def judge(self) -> None:
        """Refuse the whole when it lost or doubled anything."""
        await verdict.judge(self.database, self.world.ledger, self.placed, self.units)

    def cpu_seconds(self) -> dict[str, float]:
        """Return what its workers and its servers have used so far."""
        pids = self.stack.processes.pids
        used = meter.family_seconds
        mine = sum(used(worker.pid) for worker in self.workers)
        return {"peer": mine} | {name: used(pids[name]) for name in self.peer.servers}


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
        latencies = await _latencies(bench.database, trickle)
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
    """Start a peer on a database of its own, and leave nothing of it behind."""
    name = f"{peer.name}_{time.time_ns()}"
    await create_database(stack.admin_dsn, name)
    dsn = of_database(stack.admin_dsn, name)
    database = await asyncpg.connect(dsn)
    workers: list[Process] = []
    world = await World.start(stack.processes, stack.state / name, peer.name)
    try:
        await database.execute((PROGRAMS / "shop.sql").read_text())
        await database.execute(STOCKED, list(SKUS), STOCK)
        env = _env(stack, world, setting, name)
        for step in peer.before:
            await _do(stack, peer, env, step)
        workers.extend(_spawn(stack, peer, setting, env))
        for step in peer.after:
            await _do(stack, peer, env, step)
        yield Bench(stack, peer, database, env, world, workers)
    finally:
        for process in (*workers, *world.processes):
            await stack.processes.stop(process.program.name)
        await database.close()
        await drop_database(stack.admin_dsn, name)


async def _do(stack: Stack, peer: Peer, env: dict[str, str], step: str) -> None:
    command = [PYTHON, peer.path, step]
    await stack.processes.run(Program(f"{peer.name}-{step}", command, env=env))


def _spawn(stack: Stack, peer: Peer, setting: Setting, env: dict[str, str]) -> list[Process]:
    def start(role: str, number: int) -> Process:
        command = [PYTHON, peer.path, role]
        own = env | {"PEER_NUMBER": str(number)}
        return stack.processes.spawn(Program(f"{peer.name}-{role}-{number}", command, env=own))

    beside = [start(role, 0) for role in peer.beside]
    return [*beside, *(start("work", number) for number in range(setting.processes))]


def _env(stack: Stack, world: World, setting: Setting, database: str) -> dict[str, str]:
    own = {
        "DATABASE_URL": of_database(stack.admin_dsn, database),
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap,
        "TOPIC_PREFIX": f"{database}.",
        "REDIS_URL": stack.redis_url,
        "PAYMENT_GATEWAY_URL": world.gateway_url,
        "PAYMENT_GATEWAY_KEY": GATEWAY_KEY,
        "SMTP_URL": world.smtp_url,
        "PEER_CONCURRENCY": str(setting.concurrency),
        "PEER_VARIANT": setting.variant,
        "PEER_PORTS": ",".join(str(free_port()) for _ in range(PORTS)),
        "PEER_STATE": str(stack.state / database / "own"),
        "PEER_NODE": str(NODE),
    }
    return {**os.environ, **own}
