"""A second deployment on the rig's servers, with a database and topics that are its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
from devstack import postgres
from devstack.deployment import Deployment
from devstack.dsn import of_database
from devstack.stack import Stack
from devstack.topology import SERVICES

from benchmarks import meter
from benchmarks.driver import LoadError
from benchmarks.overload import UNLIMITED
from benchmarks.rig import STANDARD, Rig

POLL = 0.05
"""Seconds between looks at how far something is: cheap, and short beside the seconds it takes."""
PATIENCE = 300.0
TEMPLATE = "side"
"""The database that each side gets a copy of."""
COPIED = {
    "orders.products": "sku, name, price, currency, active, available, version, removed_at",
    "inventory.stock": "sku, name, price, currency, available",
}
"""What a shop needs to take orders: table → columns."""


@dataclass(frozen=True, slots=True)
class Side:
    """Services that nobody but one measurement talks to."""

    deployment: Deployment
    database_url: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Drain:
    """How fast something got from its first progress to its end."""

    rate: float
    cpu_us: Mapping[str, float]
    """CPU microseconds of each item by process."""


@asynccontextmanager
async def side(rig: Rig, name: str) -> AsyncIterator[Side]:
    """Prepare it and start nothing of it; the rig's own services are stopped meanwhile."""
    await rig.services.stop()
    try:
        async with beside(rig.stack, name) as other:
            yield other
    finally:
        await rig.services.start()


@asynccontextmanager
async def beside(stack: Stack, name: str) -> AsyncIterator[Side]:
    """Do the same where the rig's services stand still already."""
    prefix = f"{name}-{uuid4().hex[:8]}"
    dsn = of_database(stack.admin_dsn, prefix)
    await _prepare_template(stack)
    await postgres.create_database(stack.admin_dsn, prefix, template=TEMPLATE)
    try:
        await postgres.bootstrap(dsn)  # what is granted on a database is not copied
        deployment = Deployment(stack, dsn, prefix=f"{prefix}.")
        deployment.overrides.update({each: {**STANDARD, **UNLIMITED} for each in SERVICES})
        await deployment.create_topics()
        yield Side(deployment, dsn, f"{prefix}.")
        await deployment.stop()
    finally:
        await postgres.drop_database(stack.admin_dsn, prefix)


async def drain(stack: Stack, progress: Callable[[], Awaitable[int]], total: int) -> Drain:
    """Watch a count that grows to the total; what comes before it first grows does not count."""
    start = await until(progress, lambda now: now > 0)
    began, before = time.perf_counter(), meter.of_stack(stack)
    end = await until(progress, lambda now: now >= total)
    lasted, cpu = time.perf_counter() - began, meter.spent(before, meter.of_stack(stack))
    done = end - start
    if done <= 0:
        message = f"{total} are too few: all were done at the first look"
        raise LoadError(message)
    return Drain(done / lasted, {name: used / done * 1e6 for name, used in cpu.items()})


async def until(progress: Callable[[], Awaitable[int]], holds: Callable[[int], bool]) -> int:
    """Watch a count until something holds of it."""
    async with asyncio.timeout(PATIENCE):
        while not holds(now := await progress()):  # noqa: ASYNC110  it happens in other processes
            await asyncio.sleep(POLL)
    return now


async def _prepare_template(stack: Stack) -> None:
    """Migrate a database, once a stack: it has its name when it is complete."""
    db = await asyncpg.connect(stack.admin_dsn)
    try:
        if await db.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", TEMPLATE):
            return
        unfinished = f"{TEMPLATE}-{uuid4().hex[:8]}"
        dsn = of_database(stack.admin_dsn, unfinished)
        await postgres.create_database(stack.admin_dsn, unfinished)
        await postgres.bootstrap(dsn)
        await Deployment(stack, dsn).migrate()
        await _copy_shop(stack.admin_dsn, dsn)
        await db.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{TEMPLATE}"')
    finally:
        await db.close()


async def _copy_shop(source: str, target: str) -> None:
    reader, writer = await asyncpg.connect(source), await asyncpg.connect(target)
    try:
        for table, columns in COPIED.items():
            rows = await reader.fetch(f"SELECT {columns} FROM {table}")  # noqa: S608  our own names
            schema, name = table.split(".")
            await writer.copy_records_to_table(
                name, schema_name=schema, columns=columns.split(", "), records=map(tuple, rows)
            )
    finally:
        await reader.close()
        await writer.close()
