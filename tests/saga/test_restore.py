"""One service's database is restored from before: nothing is skipped, every order ends."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from common.outbox import key_hash
from devstack.stack import Stack
from devstack.topology import SERVICES
from invariants.checker import check
from invariants.sources import Sources

from tests.saga.conftest import Town, open_shop, sold_everywhere
from tests.support.operator import Operator, operator_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from uuid import UUID

    from devstack.deployment import Deployment

Admin = asyncpg.Connection

pytestmark = [pytest.mark.saga, pytest.mark.timeout(400)]

METHODS = ("pm_ok", "pm_ok", "pm_declined", "pm_capture_fails")
MOVED_ON_BY = {"inventory": "orders.v1", "payment": "inventory.v1"}
"""Whose database is lost, and the topic that has an order's next step for it."""
PARTITIONS = 12
HISTORY = ("ops_audit", "replay_jobs", "breakers", "alembic_version")
"""Tables that a restore would bring back, too, and that decide nothing."""


async def tables(db: Admin, schema: str) -> list[str]:
    rows = await db.fetch(
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = $1 AND relkind IN ('r', 'p') AND NOT relispartition",
        schema,
    )
    return sorted({row["relname"] for row in rows} - set(HISTORY))


async def back_up(db: Admin, schema: str) -> None:
    """Copy a schema as it is at one moment, while the service works on it."""
    async with db.transaction(isolation="repeatable_read"):
        await db.execute("DROP SCHEMA IF EXISTS saved CASCADE; CREATE SCHEMA saved")
        for name in await tables(db, schema):
            await db.execute(f'CREATE TABLE saved."{name}" AS TABLE {schema}."{name}"')


async def restore(db: Admin, schema: str) -> None:
    """Put the copy in place of what came after it."""
    names = await tables(db, schema)
    async with db.transaction():
        await db.execute("SET LOCAL session_replication_role = replica")  # as pg_restore does
        await db.execute("TRUNCATE " + ", ".join(f'{schema}."{name}"' for name in names))
        for name in names:
            columns = await _stored(db, schema, name)
            await db.execute(
                f'INSERT INTO {schema}."{name}" ({columns}) OVERRIDING SYSTEM VALUE '  # noqa: S608
                f'SELECT {columns} FROM saved."{name}"'
            )


async def _stored(db: Admin, schema: str, table: str) -> str:
    """List the columns that a row brings along: those computed from them are computed anew."""
    rows = await db.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = ''",
        f"{schema}.{table}",
    )
    return ", ".join(f'"{row["attname"]}"' for row in rows)


async def buy(town: Town, chance: random.Random, orders: int) -> None:
    """Order, and cancel some."""
    for _ in range(orders):
        order = await town.order(chance.randint(1, 3), chance.choice(METHODS))
        if chance.random() < 0.2:
            await town.cancel(order)


async def test_a_restored_service_is_not_read_until_it_is_rewound_and_then_catches_up() -> None:
    async with Stack.start(durable=False) as stack:
        services = await stack.start_services()
        db = await asyncpg.connect(stack.admin_dsn)
        shop, customer = await open_shop(
            services.url("order"),
            services.url("inventory"),
            stack.signing_key.read_text(),
            stock=10_000,
        )
        await eventually(lambda: sold_everywhere(db))
        async with shop:
            town = Town(shop, customer, db)
            operator = operator_of(stack, services)
            for number, (service, topic) in enumerate(MOVED_ON_BY.items()):
                await _lose_and_rewind(services, operator, town, service, topic, number)
        await db.close()
        report = await check(
            Sources(
                database_url=stack.admin_dsn,
                kafka=stack.bootstrap,
                ledger=stack.gateway_ledger,
                mail=stack.mail_dir,
            ),
            deadline=timedelta(seconds=120),
        )
        assert report.holds, [finding for finding in report.findings if not finding.holds]


async def _lose_and_rewind(
    services: Deployment, operator: Operator, town: Town, service: str, topic: str, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    await buy(town, chance, 15)
    await back_up(town.db, SERVICES[service].schema)
    await buy(town, chance, 30)
    last = await town.order(1)
    await town.settled(last)

    await services.stop(service)
    await restore(town.db, SERVICES[service].schema)
    await services.start(service)

    held = await eventually(lambda: _held_back(operator, service))
    assert all("pedido rewind" in part["reason"] for part in held)
    code, said, _ = await operator.run("doctor")
    assert code == 1
    assert f"pedido rewind {service}" in said
    waiting = await _order_into(town, {p["partition"] for p in held if p["topic"] == topic})

    rewinding = await operator.start("rewind", service, "--yes", "--wait", "60")
    assert rewinding.stdout is not None
    await rewinding.stdout.readuntil(b"\n]\n")  # it knows what to set; now nobody may consume
    assert await _status(town, waiting) == "PENDING"
    await services.stop(service)
    assert await rewinding.wait() == 0
    await services.start(service)

    await town.settled(waiting, deadline=60)
    assert await _held_back(operator, service) == []


async def _order_into(town: Town, partitions: set[int]) -> UUID:
    """Order until an order's key is in one of these: a partition that lost nothing is read on."""
    assert partitions
    while True:
        order = await town.order(1)
        if key_hash(str(order).encode()) % PARTITIONS in partitions:
            return order


async def _status(town: Town, order: UUID) -> str:
    status = await town.db.fetchval("SELECT status FROM orders.orders WHERE order_id = $1", order)
    return str(status)


async def _held_back(operator: Operator, service: str) -> list[dict[str, Any]]:
    lags: list[dict[str, Any]] = await operator.ask("lag")
    (lag,) = [each for each in lags if each["service"] == service]
    return [part for part in lag["partitions"] if part["heldBack"]]
