"""P17: what a thousand live streams on one process cost, at rest and when all orders move."""

import asyncio
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
import asyncpg
import psutil
from demo.shop import API

from benchmarks import meter
from benchmarks.driver import Driver, LoadError
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.rig import Rig

MS = 1000
OK = 200
LISTENERS = 1000
PATIENCE = 120.0
"""Seconds until the last order must be settled, and its stream at its end."""
OURS = "order-service"
"""Its events are dated when their transaction begins; the others' when they were said."""

ROW = Row(
    "P17",
    f"{LISTENERS:,} live streams on one process",
    {"looks/s at rest": Aim(10.5), "commit → event p99 ms": Aim(1000)},
)


@dataclass(slots=True)
class Crowd:
    """What the listeners heard."""

    present: int = 0
    delays: list[float] = field(default_factory=list)
    """Seconds from an event's transaction to its arrival here."""


async def measure(rig: Rig, seconds: float) -> Values:
    """Listen while nothing happens for want of payment, then let all orders move at once."""
    await rig.services.stop("payment")
    async with Driver(rig) as driver:
        load = await driver.burst(LISTENERS)
    crowd = Crowd()
    connector = aiohttp.TCPConnector(limit=0)
    url, timeout = rig.services.url("order"), aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(url, connector=connector, timeout=timeout) as http,
        asyncio.TaskGroup() as group,
    ):
        tokens = itertools.cycle(customer.access_token for customer in rig.customers)
        for order, token in zip(load.meant, tokens, strict=False):
            group.create_task(_listen(http, order, token, crowd))
        await _all_present(crowd)
        rest = await _at_rest(rig, seconds)
        crowd.delays.clear()  # so far it was history
        before = meter.cpu_seconds(rig)
        await rig.services.start("payment")
    busy = meter.spent({"order": before["order"]}, meter.cpu_seconds(rig))
    return {
        **rest,
        "commit → event p50 ms": percentile(crowd.delays, 50) * MS,
        "commit → event p99 ms": percentile(crowd.delays, 99) * MS,
        "order CPU s until all are settled": busy["order"],
    }


async def _at_rest(rig: Rig, seconds: float) -> Mapping[str, float]:
    await asyncio.sleep(1)  # the last ones are still told their history
    before, looks, began = meter.cpu_seconds(rig), await _looks(rig), time.perf_counter()
    await asyncio.sleep(seconds)
    lasted = time.perf_counter() - began
    cpu = meter.spent({"order": before["order"]}, meter.cpu_seconds(rig))
    return {
        "looks/s at rest": (await _looks(rig) - looks) / lasted,
        "order % of a core at rest": cpu["order"] / lasted * 100,
        "order resident MiB": psutil.Process(rig.services.pid("order")).memory_info().rss
        / meter.MIB,
    }


async def _all_present(crowd: Crowd) -> None:
    async with asyncio.timeout(PATIENCE):
        while crowd.present < LISTENERS:  # noqa: ASYNC110  a thousand tasks count it up
            await asyncio.sleep(0.1)


async def _listen(http: aiohttp.ClientSession, order: str, token: str, crowd: Crowd) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(f"{API}/orders/{order}/events", headers=headers) as answer:
        if answer.status != OK:
            message = f"GET /orders/{{id}}/events was answered {answer.status}"
            raise LoadError(message)
        first = True
        async for line in answer.content:
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                if event["service"] == OURS:
                    said = datetime.fromisoformat(event["at"]).timestamp()
                    crowd.delays.append(time.time() - said)
                crowd.present += first
                first = False


async def _looks(rig: Rig) -> int:
    """Count how often the process looked for all of its listeners."""
    db = await asyncpg.connect(rig.sources.database_url)
    try:
        count: int = await db.fetchval(
            """SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
               WHERE query LIKE '%FROM unnest($1::uuid[], $2::int[]) AS w (order_id, version)%'
                 AND query NOT LIKE '%pg_stat_statements%'"""
        )
    finally:
        await db.close()
    return count
