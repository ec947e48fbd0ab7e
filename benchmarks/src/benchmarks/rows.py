"""What is measured: each function is one run of one or more rows, on a rig that rests before it."""

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta

import asyncpg
from devstack.topology import SERVICES
from invariants import rest
from invariants.checker import check

from benchmarks import listeners, meter, overload, storm
from benchmarks.driver import Driver, Load, LoadError
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.observer import observe
from benchmarks.rig import Rig

MS = 1000
PATIENCE = 180.0
"""Seconds until an accepted order must have got there; far above what a healthy run takes."""
STEADY_RATE = 50.0
WARM_UP = 10.0
"""Seconds of an open loop that are not counted: connections, caches and compiled plans are new."""
IDLE_SECONDS = 20.0

ROWS = {
    row.id: row
    for row in (
        Row("P2", "as fast as accepted", {"completed orders/s": Aim(300, at_least=True)}),
        Row(
            "P3",
            f"open loop, {STEADY_RATE:g} orders/s",
            {"POST → CONFIRMED p50 ms": Aim(60), "POST → CONFIRMED p99 ms": Aim(250)},
        ),
        Row("P8", "CPU ms per completed order", {"all of the suite": Aim(2.0)}),
        Row("P10", "resident MiB after the load", dict.fromkeys(SERVICES, Aim(150))),
        Row(
            "P14",
            "start and idle",
            {f"{name} ready s": Aim(3) for name in SERVICES}
            | {"all four idle % of a core": Aim(5)}
            | {f"{name} idle queries/s": Aim(10) for name in SERVICES},
        ),
        overload.ROW,
        storm.ROW,
        listeners.ROW,
    )
}


async def warm_up(rig: Rig) -> None:
    """Let every connection, cache and plan be there before anything is counted."""
    async with Driver(rig) as driver:
        await driver.burst(1000)
    await _settle(rig)


async def throughput(rig: Rig, orders: int) -> dict[str, Values]:
    """P2, P8 and P10: so many orders as fast as they are accepted, until the last is COMPLETED."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        before = meter.cpu_seconds(rig)
        load = await driver.burst(orders)
        completed = await observer.wait("OrderCompleted", load.meant, seconds=PATIENCE)
        accepted = load.to_accepted()
        await _settle(rig)  # the last e-mails belong to the price, too
        cpu = meter.spent(before, meter.cpu_seconds(rig))
    speed = {
        "completed orders/s": orders / (completed - load.began),
        "accepted orders/s": orders / (max(load.answered.values()) - load.began),
        "POST → 202 p50 ms": percentile(accepted, 50) * MS,
        "POST → 202 p99 ms": percentile(accepted, 99) * MS,
    }
    price = {name: seconds / orders * MS for name, seconds in cpu.items()}
    suite = sum(price[name] for name in meter.SUITE)
    memory = meter.resident_mib(rig)
    await verify(rig)
    return {"P2": speed, "P8": {"all of the suite": suite} | price, "P10": memory}


async def latency(rig: Rig, seconds: float) -> dict[str, Values]:
    """P3: a steady trickle of orders, each timed from when it was meant to be sent."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        load = await driver.at_rate(STEADY_RATE, WARM_UP + seconds)
        await observer.wait("OrderConfirmed", load.meant, seconds=PATIENCE)
        await observer.wait("OrderCompleted", load.meant, seconds=PATIENCE)
    steps = {
        "202": load.answered,
        "CONFIRMED": observer.seen["OrderConfirmed"],
        "COMPLETED": observer.seen["OrderCompleted"],
    }
    await verify(rig)
    return {"P3": dict(_percentiles(load, steps))}


def _percentiles(load: Load, steps: dict[str, dict[str, float]]) -> Iterable[tuple[str, float]]:
    for name, seen in steps.items():
        took = load.until(seen, after=WARM_UP)
        for percent in (50, 99):
            yield f"POST → {name} p{percent} ms", percentile(took, percent) * MS


async def start_and_idle(rig: Rig) -> dict[str, Values]:
    """P14: each service from nothing to ready by itself, then all four with nothing to do."""
    figures: dict[str, float] = {}
    for name in SERVICES:
        await rig.services.stop(name)
        began = time.perf_counter()
        await rig.services.start(name)
        figures[f"{name} ready s"] = time.perf_counter() - began
    await asyncio.sleep(WARM_UP)  # what a start leaves behind is not idleness
    before, asked = meter.cpu_seconds(rig), await _statements(rig)
    await asyncio.sleep(IDLE_SECONDS)
    cpu = meter.spent(before, meter.cpu_seconds(rig))
    asked_since = {name: count - asked[name] for name, count in (await _statements(rig)).items()}
    core = sum(cpu[name] for name in SERVICES) / IDLE_SECONDS * 100
    queries = {f"{name} idle queries/s": n / IDLE_SECONDS for name, n in asked_since.items()}
    return {"P14": figures | {"all four idle % of a core": core} | queries}


async def login_storm(rig: Rig, seconds: float) -> dict[str, Values]:
    """P16: a steady trickle of orders, in peace and among people who log in."""
    figures = await storm.measure(rig, seconds)
    await _settle(rig)
    await verify(rig)
    return {"P16": figures}


async def live_streams(rig: Rig, seconds: float) -> dict[str, Values]:
    """P17: a thousand listeners, at rest and when all of their orders move."""
    figures = await listeners.measure(rig, seconds)
    await _settle(rig)
    await verify(rig)
    return {"P17": figures}


async def twice_too_much(rig: Rig, orders: int, seconds: float) -> dict[str, Values]:
    """P11: twice what can be completed is offered; nothing accepted is lost, and it ends."""
    async with asyncio.timeout(overload.LIMIT):
        figures = await overload.measure(rig, orders, seconds)
        await _settle(rig)
        await verify(rig)
    return {"P11": figures}


async def verify(rig: Rig) -> None:
    """Check every invariant: a fast run that loses an order counts as none."""
    report = await check(rig.sources)
    broken = [finding for finding in report.findings if not finding.holds]
    if broken:
        first = broken[0]
        message = f"{first.id} is broken: {first.claim}; {', '.join(first.examples)}"
        raise LoadError(message)


async def _settle(rig: Rig) -> None:
    db = await asyncpg.connect(rig.sources.database_url)
    try:
        deadline = timedelta(seconds=PATIENCE)
        await rest.wait(db, rig.sources, deadline=deadline, progress=lambda _: None)
    finally:
        await db.close()


async def _statements(rig: Rig) -> dict[str, int]:
    """Count the statements that each service's role has sent so far."""
    db = await asyncpg.connect(rig.sources.database_url)
    try:
        counts = await db.fetch(
            """SELECT rolname, sum(calls)::bigint AS calls FROM pg_stat_statements
               JOIN pg_roles ON pg_roles.oid = userid GROUP BY rolname"""
        )
    finally:
        await db.close()
    by_role = {row["rolname"]: row["calls"] for row in counts}
    return {name: by_role.get(service.app, 0) for name, service in SERVICES.items()}
