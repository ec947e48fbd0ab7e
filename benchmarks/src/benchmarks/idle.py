"""P14: each service from nothing to ready by itself, then all four with nothing to do."""

import asyncio
import time

import asyncpg
from devstack.topology import SERVICES

from benchmarks import meter
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.rig import Rig

SETTLING = 10.0
"""Seconds: what a start leaves behind is not idleness."""

ROW = Row(
    "P14",
    "start and idle",
    {f"{name} ready s": Aim(3) for name in SERVICES}
    | {"all four idle % of a core": Aim(5)}
    | {f"{name} idle queries/s": Aim(10) for name in SERVICES},
)


async def measure(rig: Rig, size: Size) -> Found:
    """Start one service after the other, then leave them alone for so many seconds."""
    figures: dict[str, float] = {}
    for name in SERVICES:
        await rig.services.stop(name)
        began = time.perf_counter()
        await rig.services.start(name)
        figures[f"{name} ready s"] = time.perf_counter() - began
    await asyncio.sleep(SETTLING)
    before, asked = meter.cpu_seconds(rig), await _statements(rig)
    await asyncio.sleep(size.seconds)
    cpu = meter.spent(before, meter.cpu_seconds(rig))
    asked_since = {name: count - asked[name] for name, count in (await _statements(rig)).items()}
    core = sum(cpu[name] for name in SERVICES) / size.seconds * 100
    queries = {f"{name} idle queries/s": n / size.seconds for name, n in asked_since.items()}
    return {ROW.id: figures | {"all four idle % of a core": core} | queries}


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
