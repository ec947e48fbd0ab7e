"""P16: what twenty people who log in again and again cost everybody who only orders."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from demo.shop import API, CONFLICT, CREATED

from benchmarks.driver import Driver, Load, LoadError
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.rig import Rig

MS = 1000
OK = 200
LOGINS = 20
RATE = 50.0
"""Orders a second: a shop that is open, far from its limits."""
WARM_UP = 5.0
"""Seconds of each half that are not counted."""
PASSWORD = "again and again"  # noqa: S105  made up

ROW = Row(
    "P16",
    f"{LOGINS} parallel logins beside {RATE:g} orders/s",
    {"POST /orders p99, storm : quiet": Aim(3)},
)


@dataclass(slots=True)
class Storm:
    """How long each login took, in seconds."""

    took: list[float] = field(default_factory=list)


async def measure(rig: Rig, seconds: float) -> Values:
    """Order at a steady rate, first in peace and then while people log in."""
    async with Driver(rig) as driver:
        quiet = await driver.at_rate(RATE, WARM_UP + seconds)
        async with _raging(rig) as storm:
            began = time.perf_counter()
            loaded = await driver.at_rate(RATE, WARM_UP + seconds)
            lasted = time.perf_counter() - began
    before, meanwhile = (percentile(_counted(load), 99) * MS for load in (quiet, loaded))
    return {
        "POST /orders p99, storm : quiet": meanwhile / before,
        "POST /orders p99 ms, quiet": before,
        "POST /orders p99 ms, storm": meanwhile,
        "POST /orders p50 ms, storm": percentile(_counted(loaded), 50) * MS,
        "logins/s": len(storm.took) / lasted,
        "login p99 ms": percentile(storm.took, 99) * MS,
    }


def _counted(load: Load) -> list[float]:
    return load.to_accepted(after=WARM_UP)


@asynccontextmanager
async def _raging(rig: Rig) -> AsyncIterator[Storm]:
    """Have everybody log in, wait for the answer, and log in again."""
    storm = Storm()
    connector = aiohttp.TCPConnector(limit=LOGINS)
    url = rig.services.url("order")
    async with aiohttp.ClientSession(base_url=url, connector=connector) as http:
        accounts = [f"storm-{number}@example.com" for number in range(LOGINS)]
        for email in accounts:
            await _register(http, email)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_log_in(http, email, storm)) for email in accounts]
            yield storm
            for task in tasks:
                task.cancel()


async def _register(http: aiohttp.ClientSession, email: str) -> None:
    body = {"email": email, "password": PASSWORD}
    async with http.post(f"{API}/auth/register", json=body) as answer:
        if answer.status not in {CREATED, CONFLICT}:
            message = f"POST /auth/register was answered {answer.status}"
            raise LoadError(message)


async def _log_in(http: aiohttp.ClientSession, email: str, storm: Storm) -> None:
    body = {"email": email, "password": PASSWORD}
    while True:
        began = time.perf_counter()
        async with http.post(f"{API}/auth/login", json=body) as answer:
            if answer.status != OK:
                message = f"POST /auth/login was answered {answer.status}"
                raise LoadError(message)
            await answer.read()
        storm.took.append(time.perf_counter() - began)
