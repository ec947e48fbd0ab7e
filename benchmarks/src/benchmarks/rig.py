"""What every measurement runs on: a durable stack with its four services, a shop full of stock."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from demo.invoices import Product
from demo.plan import Stocked
from demo.replay import let_in
from demo.shop import Customer, Shop
from demo.stage import Suite
from demo.stocking import stock_shop
from devstack.deployment import Deployment
from devstack.stack import Stack
from devstack.topology import SERVICES
from invariants.sources import Sources

SKUS = tuple(f"BENCH-{number:04}" for number in range(1000))
"""Enough that two orders seldom meet on one; the hot product is a measurement of its own."""
STOCK = 10_000_000
"""Never runs out: what is measured is the whole way, not the refusal."""
CUSTOMERS = 32
SEED = 2026
AS_USUAL: Mapping[str, str] = MappingProxyType({})
STANDARD = {
    "JWT_EXPIRES_IN": "3600",
    "LOGIN_LIMIT_ACCOUNT": "100000/1m",
}
"""Settings that stand in for many customers at many places, who log in now and then."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A stack that runs and customers who are logged in."""

    stack: Stack
    services: Deployment
    sources: Sources
    customers: tuple[Customer, ...]
    random: random.Random
    """Seeded once, so that every run asks for the same."""
    client_log: Path


@asynccontextmanager
async def rig(settings: Mapping[str, str] = AS_USUAL) -> AsyncIterator[Rig]:
    """Start everything with the durability that a user gets, and stop it again."""
    async with Stack.start() as stack:
        services = Deployment(stack)
        services.overrides.update({name: {**STANDARD, **settings} for name in SERVICES})
        await services.prepare()
        await services.start()
        client_log = stack.state / "answers.jsonl"
        client_log.touch()
        sources = Sources(
            database_url=stack.admin_dsn,
            kafka=stack.bootstrap,
            ledger=stack.gateway_ledger,
            mail=stack.mail_dir,
            client_log=client_log,
        )
        suite = Suite(
            order_url=services.url("order"),
            inventory_url=services.url("inventory"),
            signing_key=stack.signing_key,
            client_log=client_log,
            sources=sources,
        )
        await stock_shop(suite, [_stocked(sku) for sku in SKUS], lambda _: None)
        async with Shop(services.url("order"), connections=8) as shop:
            names = [f"bench-{number}" for number in range(CUSTOMERS)]
            customers = await let_in(shop, names, lambda: None)
        seeded = random.Random(SEED)  # noqa: S311  not a secret
        yield Rig(stack, services, sources, tuple(customers.values()), seeded, client_log)


def _stocked(sku: str) -> Stocked:
    return Stocked(Product(sku, sku, pence=1250), STOCK, is_ordered=True)
