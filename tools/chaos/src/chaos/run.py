"""One run: start the town, break it row by row under load, check it after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from demo.invoices import invoices, read_rows
from demo.plan import Plan, Stocked
from demo.plan import plan as planned_orders
from demo.replay import let_in
from demo.shop import Shop
from demo.stage import Suite
from demo.stocking import stock_shop
from devstack.deployment import Deployment
from devstack.stack import Stack
from devstack.topology import SERVICES
from invariants.checker import check
from invariants.report import Report
from invariants.sources import Sources

from chaos import links
from chaos.keeper import Keeper
from chaos.load import CONNECTIONS, Load, accounts, shoppers
from chaos.report import Result
from chaos.schedule import Planned
from chaos.town import ChaosError, Town, until

DEADLINE = timedelta(seconds=180)
"""I1's own limit, from the last fault to every order settled."""
_BACK = 120.0
"""Seconds from the last fault to all services ready."""
_PLENTY = 1_000_000
"""Pieces of each product that has any, so that a long run does not end in rejections alone."""
_FULL_HISTORY = 10**6

USUAL = {"JWT_EXPIRES_IN": "1h", "CONSUMER_SESSION_TIMEOUT": "6s", "RETRY_MAX_DELAY": "2s"}
"""A session no longer than the broker allows, so that a frozen consumer is expelled soon."""
PAYMENT = {
    "PAYMENT_GATEWAY_TIMEOUT": "2s",
    "PAYMENT_LEASE": "17s",
    "PAYMENT_LONGEST_RETRY": "4s",
    "PAYMENT_LOOK_AGAIN": "8s",
    "PAYMENT_LATE_LOOK": "12s",
    "PAYMENT_BREAKER_OPEN_FOR": "2s",
}
"""Looks are further apart than a request is ever held back: else a late one could charge twice."""


@dataclass
class Watch:
    """Tells somebody how the run goes."""

    step: Callable[[str], None]
    done: Callable[[Result], None]


async def run(plan: Sequence[Planned], *, seed: int, rate: float, watch: Watch) -> list[Result]:
    """Go through all rows, or up to the first that breaks something, whose stack is kept."""
    results: list[Result] = []
    try:
        async with _town(seed, rate, watch) as town:
            await _rows(town, plan, results, watch)
    except* _BrokenError as broken:
        watch.step(f"the stack's folder is kept for an hour: {broken.exceptions[0]}")
    return results


async def _rows(town: Town, plan: Sequence[Planned], results: list[Result], watch: Watch) -> None:
    for planned in plan:
        results.append(await _row(town, planned, watch))
        watch.done(results[-1])
        if results[-1].violations:
            raise _BrokenError(town.stack.state)


class _BrokenError(Exception):
    """An invariant does not hold: leave everything where it is."""


async def _row(town: Town, planned: Planned, watch: Watch) -> Result:
    began, placed, errors = time.monotonic(), town.load.placed, len(town.load.errors)
    exits = town.keeper.own_exits.total()
    town.complaints.clear()
    async with town.configured(planned.row.settings):
        injected = await _break(town, planned, watch)
    watch.step(f"{planned.row.id} settling")
    town.links.heal()
    await town.load.pause()
    report = await check(town.sources, deadline=DEADLINE)
    return Result(
        row=planned.row,
        injected=injected,
        orders=town.load.placed - placed,
        exits=town.keeper.own_exits.total() - exits,
        seconds=time.monotonic() - began,
        found=(*_broken(report), *town.load.errors[errors:], *town.complaints),
    )


async def _break(town: Town, planned: Planned, watch: Watch) -> int:
    acts = {fault.name: fault.act for fault in planned.row.faults}
    injected = 0
    town.load.resume()
    try:
        for number, injection in enumerate(planned.injections, start=1):
            watch.step(f"{injection} ({number}/{len(planned.injections)})")
            injected += await acts[injection.fault](town, injection)
            await asyncio.sleep(injection.pause)
        await until(lambda: _is_up(town), _BACK, f"{planned.row.id} heals")
    except ChaosError as error:
        town.complaints.append(str(error))
    return injected


async def _is_up(town: Town) -> bool:
    return town.keeper.is_up()


def _broken(report: Report) -> list[str]:
    return [
        f"{finding.id}: {finding.violations} broken, such as {'; '.join(finding.examples[:3])}"
        for finding in report.findings
        if not finding.holds
    ]


@asynccontextmanager
async def _town(seed: int, rate: float, watch: Watch) -> AsyncIterator[Town]:
    doors = links.doors()
    watch.step("starting Kafka, PostgreSQL, Valkey, mail sink and gateway")
    async with Stack.start(durable=False, listeners=list(doors.values())) as stack:
        services = Deployment(stack)
        watch.step("migrating, and starting the four services behind their links")
        await services.prepare()
        async with links.linked(stack, services, doors) as between:
            for name in SERVICES:
                extra = PAYMENT if name == "payment" else {}
                services.overrides[name] = {**services.overrides[name], **USUAL, **extra}
            await services.start()
            async with _peopled(stack, services, between, seed, rate, watch) as town:
                yield town


@asynccontextmanager
async def _peopled(
    stack: Stack, services: Deployment, between: links.Links, seed: int, rate: float, watch: Watch
) -> AsyncIterator[Town]:
    suite = _suite(stack, services)
    history = planned_orders(invoices(read_rows()), _FULL_HISTORY)
    watch.step("filling the shop and letting customers in")
    await stock_shop(suite, _plenty(history), lambda _: None)
    async with Shop(suite.order_url, connections=CONNECTIONS) as shop:
        load = Load(
            shop=shop,
            customers=await let_in(shop, accounts(), lambda: None),
            orders=shoppers(history.orders, seed),
            rate=rate,
            log=suite.client_log,
            seed=seed,
        )
        town = Town(
            stack, services, Keeper(services, stack.processes), between, load, suite.sources
        )
        async with asyncio.TaskGroup() as tasks:
            keeping, buying = tasks.create_task(town.keeper.run()), tasks.create_task(load.run())
            try:
                yield town
            finally:
                keeping.cancel()
                buying.cancel()


def _plenty(history: Plan) -> list[Stocked]:
    return [
        Stocked(each.product, each.stock and _PLENTY, each.is_ordered) for each in history.catalogue
    ]


def _suite(stack: Stack, services: Deployment) -> Suite:
    client_log = stack.state / "answers.jsonl"
    return Suite(
        order_url=services.url("order"),
        inventory_url=services.url("inventory"),
        signing_key=stack.signing_key,
        client_log=client_log,
        sources=Sources(
            database_url=stack.admin_dsn,
            kafka=stack.bootstrap,
            ledger=stack.gateway_ledger,
            mail=stack.mail_dir,
            client_log=client_log,
        ),
    )
