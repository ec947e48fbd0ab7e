"""Service processes that are killed, stopped, frozen, or made to fail at a named point."""

from __future__ import annotations

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from devstack.topology import ROOT, SERVICES

from chaos.fault import Injection
from chaos.town import Town, until

_POINT = re.compile(r'failpoint\(\s*"([a-z]+\.[a-z-]+)"')
_HOMES = {"intake": ("order",), "due": ("payment", "notification"), "sweeper": ()}
"""Only these services come to these points; the sweeper's need parked messages, which F20 makes."""
_BACK = 60.0
"""Seconds until a service that was left alone must be ready again."""
_OWNS = """
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND classid = (hashtext($1)::bigint & 4294967295)::oid
"""
_SETTLING = 2.0
"""Seconds for what was frozen to find out what it missed."""


async def kill(town: Town, injection: Injection) -> int:
    """Kill -9, and let the orchestrator start it again."""
    killed = town.keeper.kill(injection.target)
    await asyncio.sleep(injection.seconds)
    return int(killed)


async def roll(town: Town, _: Injection) -> int:
    """Restart all four, one after the other, with SIGTERM: each must end well."""
    for name in SERVICES:
        await _all_up(town)
        if code := await town.keeper.stop(name):
            town.complaints.append(f"{name} ended with {code} after SIGTERM")
    await _all_up(town)
    return len(SERVICES)


async def freeze_consumer(town: Town, injection: Injection) -> int:
    """Freeze a consumer beyond its session, while another takes over; then let it go on."""
    return await _zombie(town, injection, "consume")


async def freeze_relay(town: Town, injection: Injection) -> int:
    """Freeze the owner of a relay's lock beyond its session, while another waits; let it go on."""
    return await _zombie(town, injection, "relay")


async def relay_twice(town: Town, injection: Injection) -> int:
    """Run a second relay that knows nothing of the first one's locks.

    They are named after the schema: the second sees the same outbox through a view in another.
    """
    name, schema = injection.target, SERVICES[injection.target].schema
    twin = f"{schema}_twin"
    async with town.database() as db:
        await db.execute(
            f"""
            CREATE SCHEMA {twin};
            CREATE VIEW {twin}.outbox AS SELECT * FROM {schema}.outbox;
            CREATE VIEW {twin}.alembic_version AS SELECT * FROM {schema}.alembic_version;
            GRANT USAGE ON SCHEMA {twin} TO {schema}_app;
            GRANT SELECT, UPDATE, DELETE ON {twin}.outbox, {twin}.alembic_version TO {schema}_app
            """  # noqa: S608  names of ours
        )

        async def both() -> bool:
            return bool(await db.fetchval(_OWNS, f"{twin}.outbox"))

        try:
            await town.services.start_beside(name, "relay", DB_SCHEMA=twin)
            await until(both, _BACK, f"the second relay of {name} owns shards")
            await asyncio.sleep(injection.seconds)
        finally:
            if town.services.runs(name, "relay"):
                town.services.kill(name, "relay")
            await db.execute(f"DROP SCHEMA {twin} CASCADE")
    return 1


async def _zombie(town: Town, injection: Injection, second: str) -> int:
    name = injection.target
    await town.services.start_beside(name, second)
    try:
        frozen = town.keeper.send(name, signal.SIGSTOP)
        try:
            await asyncio.sleep(injection.seconds)
        finally:
            town.keeper.send(name, signal.SIGCONT)
        await asyncio.sleep(_SETTLING)
    finally:
        if town.services.runs(name, second):
            town.services.kill(name, second)
    return int(frozen)


async def die_at_points(town: Town, injection: Injection) -> int:
    """Kill -9 at as many named points of a service as come by; answers how many it died at."""
    plan = ";".join(f"{point}=kill" for point in points(injection.target))
    async with planned(town, injection, plan) as log:
        await asyncio.sleep(injection.seconds)
    return fired(log).total()


async def block(town: Town, injection: Injection) -> int:
    """Block a service's whole event loop, in the middle of its work."""
    plan = f"consumer.committing=block:{injection.seconds:g}"
    async with planned(town, injection, plan) as log:

        async def blocked() -> bool:
            return fired(log).total() > 0

        await until(blocked, _BACK, f"{injection.target} comes to consumer.committing")
        await asyncio.sleep(injection.seconds + _SETTLING)
    return 1


@asynccontextmanager
async def planned(town: Town, injection: Injection, plan: str) -> AsyncIterator[Path]:
    """Run a service with failpoints for a while; gives the file that counts them."""
    log = town.stack.state / f"failpoints-{injection.seed}"
    settings = {"FAILPOINTS": plan, "FAILPOINTS_LOG": str(log)}
    async with town.configured({injection.target: settings}):
        yield log


def fired(log: Path) -> Counter[str]:
    """Count what happened at each point."""
    return Counter(log.read_text().split() if log.exists() else ())


def points(service: str) -> list[str]:
    """Scan the source for the named points to which a service comes."""
    source = [*ROOT.glob("libs/common/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]
    found = sorted({name for path in source for name in _POINT.findall(path.read_text())})
    return [name for name in found if service in _HOMES.get(name.split(".")[0], tuple(SERVICES))]


async def _all_up(town: Town) -> None:
    async def up() -> bool:
        return town.keeper.is_up()

    await until(up, _BACK, "all services run")
