"""P10: half an hour at 70 % of P2, to see whether memory, tables or times grow."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

import asyncpg
from devstack.topology import SERVICES

from benchmarks import judge, meter, throughput
from benchmarks.driver import Driver, Load
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.measurement import Found, Size
from benchmarks.observer import observe
from benchmarks.rig import Rig

MS = 1000
SHARE = 0.7
PARTS = 30
"""Looks at memory and tables, and parts whose p99 is told: minutes, in a soak of half an hour."""
REFERENCE = 5
"""The part that later ones are compared with: by then everything has been used."""
PASSING = ("outbox", "parked")
"""Tables whose rows go again: they must not grow."""

ROW = Row(
    "P10",
    f"soak at {SHARE:.0%} of P2",
    {
        "resident memory, end : minute 5": Aim(1.05),
        "p99, worst later minute : minute 5": Aim(1.2),
    }
    | {f"{name} resident MiB at the end": Aim(150) for name in SERVICES},
)


@dataclass(slots=True)
class Looks:
    """What was seen at the end of each part."""

    memory: list[Mapping[str, float]] = field(default_factory=list)
    tables: list[Mapping[str, float]] = field(default_factory=list)

    async def take(self, rig: Rig, seconds: float) -> None:
        """Look so often for so long."""
        began = time.perf_counter()
        for part in range(1, PARTS + 1):
            await asyncio.sleep(max(0.0, began + part * seconds / PARTS - time.perf_counter()))
            self.memory.append(meter.resident_mib(rig))
            self.tables.append(await _table_mib(rig))

    @property
    def growth(self) -> float:
        """Return the resident memory of all services at the end, by that of the reference."""
        totals = [sum(each.values()) for each in self.memory]
        return totals[-1] / totals[REFERENCE - 1]


async def measure(rig: Rig, size: Size) -> Found:
    """Find out what the suite can complete, and order at a share of it."""
    looks = Looks()
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        capacity = await throughput.completed_per_second(observer, await driver.burst(size.orders))
        await judge.settle(rig)
        async with asyncio.TaskGroup() as group:
            group.create_task(looks.take(rig, size.seconds))
            load = await driver.at_rate(SHARE * capacity, size.seconds)
        await observer.wait("OrderCompleted", load.meant, seconds=judge.PATIENCE)
        slowest = p99_by_part(load, observer.seen["OrderConfirmed"], size.seconds)
    later = slowest[REFERENCE:]
    return {
        ROW.id: {
            "resident memory, end : minute 5": looks.growth,
            "p99, worst later minute : minute 5": max(later) / slowest[REFERENCE - 1],
            "p99 ms of minute 5": slowest[REFERENCE - 1],
            "p99 ms, best later minute": min(later),
            "p99 ms, middle later minute": median(later),
            "p99 ms, worst later minute": max(later),
            **{f"{name} resident MiB at the end": mib for name, mib in looks.memory[-1].items()},
            "orders/s": SHARE * capacity,
            "orders": len(load.meant),
            **{f"{name} MiB at the end": mib for name, mib in looks.tables[-1].items()},
            **dict(_by_part(looks, slowest)),
        }
    }


def p99_by_part(load: Load, seen: Mapping[str, float], seconds: float) -> list[float]:
    """Return the p99 in ms of the orders that were meant in each part."""
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for order, meant in load.meant.items():
        part = int((meant - load.began) / seconds * PARTS)
        parts[min(part, PARTS - 1)].append(seen[order] - meant)
    return [percentile(took, 99) * MS for took in parts if took]


def _by_part(looks: Looks, slowest: list[float]) -> Iterator[tuple[str, float]]:
    for part, (memory, tables, p99) in enumerate(
        zip(looks.memory, looks.tables, slowest, strict=False), start=1
    ):
        yield f"minute {part:02}: resident MiB", sum(memory.values())
        yield f"minute {part:02}: tables MiB", tables["all tables"]
        yield f"minute {part:02}: POST → CONFIRMED p99 ms", p99


async def _table_mib(rig: Rig) -> Values:
    db = await asyncpg.connect(rig.sources.database_url)
    try:
        rows = await db.fetch(
            """SELECT relname, sum(pg_total_relation_size(c.oid))::bigint AS bytes
                 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE relkind = 'r' AND nspname = ANY ($1) GROUP BY relname""",
            [service.schema for service in SERVICES.values()],
        )
    finally:
        await db.close()
    sizes = {row["relname"]: row["bytes"] / meter.MIB for row in rows}
    return {"all tables": sum(sizes.values())} | {name: sizes[name] for name in PASSING}
