"""Kill -9 at every named point of the source, once and once more: no invariant breaks."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from demo.shop import Customer, Shop
from demo.stage import DemoError
from devstack.deployment import Deployment
from devstack.errors import StackError
from devstack.stack import Stack
from devstack.topology import ROOT, SERVICES
from invariants.checker import check
from invariants.sources import Sources

from tests.saga.conftest import open_shop, sold_everywhere
from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(2100)]

KILLS = 2
CUSTOMERS = 64
"""A killed sender keeps the letters in its hands leased for a while, and each customer's later ones
behind them: a few customers would leave it nothing to die of."""
POINT = re.compile(r'failpoint\(\s*"([a-z]+\.[a-z-]+)"')
HOMES = {"intake": ("order",), "due": ("payment", "notification"), "sweeper": ("order",)}
"""Points that only these services come to; every service comes to all others."""
FOLDING = "deciding.folding"
FAILURES = 30
"""More in each life, so that there are parked messages to sweep: decisions fail for one key in 16,
less often than the hundred failures that would halt the consumer, and not until a message is dead.
"""
LIFE = 20
"""Seconds: who has not died by then has used up its failures, and swept what they parked."""
PATIENCE = 1500
"""Seconds for all lives: to start services a hundred times and more takes two cores six minutes."""
METHODS = ("pm_ok", "pm_ok", "pm_declined", "pm_capture_fails", "pm_answer_lost")


def points() -> dict[str, list[str]]:
    """Scan the source: service → the points at which it must die."""
    source = [*ROOT.glob("libs/common/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]
    found = sorted({name for path in source for name in POINT.findall(path.read_text())})
    return {
        service: [name for name in found if service in HOMES.get(name.split(".")[0], SERVICES)]
        for service in SERVICES
    }


def parts(names: list[str]) -> list[list[str]]:
    """Put all other points first, then the sweeper's.

    Not at once: a kill rolls back what a raised failure parked, and uses that failure up.
    """
    swept = [name for name in names if name.startswith("sweeper.")]
    return [part for part in ([name for name in names if name not in swept], swept) if part]


def plan(names: list[str], log: Path) -> str:
    """Write what FAILPOINTS says in the next life."""
    kills = [f"{name}=kill*{KILLS}" for name in names]
    if FOLDING not in names:
        kills.append(f"{FOLDING}=raise*{fired(log)[FOLDING] + FAILURES}@f")
    return ";".join(kills)


def fired(log: Path) -> Counter[str]:
    """Count what happened at each point, in all lives."""
    return Counter(log.read_text().split() if log.exists() else ())


def left(log: Path, names: list[str]) -> list[str]:
    """Name the points at which the service has not yet died as often as it should."""
    count = fired(log)
    return [name for name in names if count[name] < KILLS]


async def test_killing_at_every_failpoint_twice_breaks_no_invariant(tmp_path: Path) -> None:
    async with Stack.start(durable=False) as stack:
        services = await stack.start_services()
        db = await asyncpg.connect(stack.admin_dsn)
        shop, customer = await open_shop(
            services.url("order"), services.url("inventory"), stack.signing_key.read_text()
        )
        await eventually(lambda: sold_everywhere(db))
        await db.close()
        async with shop:
            customers = [customer, *[await shop.enter(f"customer-{n}") for n in range(CUSTOMERS)]]
            buying = [asyncio.create_task(_buy(shop, customers, seed)) for seed in range(4)]
            wanted = points()
            dying = (_die(services, name, wanted[name], tmp_path / name) for name in SERVICES)
            missed = await asyncio.gather(*dying)
            for task in buying:
                task.cancel()
            await asyncio.gather(*buying, return_exceptions=True)
        assert not any(missed), "\n".join(missed)
        report = await check(
            Sources(
                database_url=stack.admin_dsn,
                kafka=stack.bootstrap,
                ledger=stack.gateway_ledger,
                mail=stack.mail_dir,
            ),
            deadline=timedelta(seconds=180),
        )
        assert report.holds, [finding for finding in report.findings if not finding.holds]


async def _die(services: Deployment, name: str, names: list[str], log: Path) -> str:
    """Restart a service until it died at every point; then run it as usual. Says what it missed."""
    await services.stop(name)
    try:
        async with asyncio.timeout(PATIENCE):
            for part in parts(names):
                while left(log, part):
                    services.overrides[name] = {
                        "FAILPOINTS": plan(part, log),
                        "FAILPOINTS_LOG": str(log),
                        "RETRY_MAX_DELAY": "1s",
                        "SMTP_TIMEOUT": "1s",
                    }
                    await _live(services, name, log, part)
                await services.stop(name)
    except TimeoutError:
        return f"{name} never died {KILLS} times at {', '.join(left(log, names))}"
    finally:
        services.overrides.pop(name)
    await services.start(name)
    return ""


async def _live(services: Deployment, name: str, log: Path, names: list[str]) -> None:
    """Start it, and return when it is dead, has nothing left to die of, or is old."""
    try:
        await services.start(name)
    except StackError:  # it died before it was ready
        services.kill(name)
        return
    until = time.monotonic() + LIFE
    while services.runs(name) and time.monotonic() < until:
        if not left(log, names):
            return
        await asyncio.sleep(0.05)
    services.kill(name)


async def _buy(shop: Shop, customers: list[Customer], seed: int) -> None:
    """Order and sometimes cancel, for ever; a service that is away too long costs that order.

    After a quarter of an hour a kill may keep the answer to a refresh, and with it the session.
    """
    chance = random.Random(seed)  # noqa: S311
    while True:
        items = (("LANTERN", chance.randint(1, 3)),)
        customer = chance.choice(customers)
        try:
            _, answer = await shop.place(customer, str(uuid4()), items, chance.choice(METHODS))
            if answer.status == 202 and chance.random() < 0.2:
                await shop.cancel(customer, str(uuid4()), answer.body["orderId"])
        except (DemoError, KeyError):
            continue
        await asyncio.sleep(chance.random() * 0.3)
