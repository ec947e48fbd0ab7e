"""Every topic read again from its beginning changes no row: the inbox, then natural keys, hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
from invariants import rest
from invariants.decides import HEARD, SCHEMAS, STATE_TOPICS
from invariants.digest import digest
from invariants.sources import Sources

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.saga.conftest import Town
    from tests.support.kafka import Topics
    from tests.support.postgres import Databases

pytestmark = [pytest.mark.saga, pytest.mark.timeout(300)]

ENDINGS = {
    ("COMPLETED", "COMPLETED"),
    ("REJECTED", "COMPENSATED"),
    ("CANCELLED", "COMPENSATED"),
    ("EXPIRED", "COMPENSATED"),
}


@pytest.fixture
def sources(stack: Stack, databases: Databases, topics: Topics) -> Sources:
    """Name what is digested."""
    return Sources(
        database_url=databases.admin_dsn,
        kafka=stack.bootstrap,
        ledger=stack.gateway_ledger,
        mail=stack.mail_dir,
        topic_prefix=topics.prefix,
    )


async def test_replaying_every_topic_from_offset_0_changes_no_row(
    town: Town, services: Deployment, topics: Topics, sources: Sources
) -> None:
    await _every_ending(town, services)
    await _at_rest(town.db, sources)
    await services.stop()
    before = await digest(sources)

    replayed = await _replay(town.db, services, topics, sources)

    assert replayed == before

    for schema in SCHEMAS.values():
        await town.db.execute(f"TRUNCATE {schema}.inbox, {schema}.positions")

    replayed = await _replay(town.db, services, topics, sources)

    assert replayed == before
    taken = [
        await town.db.fetchval(f"SELECT count(*) FROM {schema}.inbox")  # noqa: S608  a constant
        for schema in SCHEMAS.values()
    ]
    assert all(taken)  # it was all read again


async def _every_ending(town: Town, services: Deployment) -> None:
    methods = ("pm_ok", "pm_declined", "pm_capture_fails", "pm_answer_lost")
    orders = [await town.order(2, method) for method in methods]
    orders += [await town.order(1000), await town.order(3)]
    await town.cancel(orders[-1])
    late = await town.order(4)
    for order in (*orders, late):
        await town.settled(order, 60)
    assert await town.cancel(late) == 202
    await _expire_one(town, services)
    assert await town.settled(late, 60) == "CANCELLED"
    rows = await town.db.fetch("SELECT DISTINCT status, saga FROM orders.orders")
    assert {tuple(row) for row in rows} == ENDINGS


async def _expire_one(town: Town, services: Deployment) -> None:
    """Let an order's time run out while nobody takes its money."""
    await services.stop("payment")
    order = await town.order(5)
    await town.db.execute(
        "UPDATE orders.orders SET deadline_at = now() - interval '1 second' WHERE order_id = $1",
        order,
    )
    await eventually(
        lambda: town.db.fetchval(
            "SELECT status = 'EXPIRED' FROM orders.orders WHERE order_id = $1", order
        )
    )
    await services.start("payment")
    await town.settled(order, 60)


async def _replay(
    db: asyncpg.Connection[asyncpg.Record],
    services: Deployment,
    topics: Topics,
    sources: Sources,
) -> Mapping[str, str]:
    for group, heard in HEARD.items():
        await topics.rewind(group, [*heard, *STATE_TOPICS.get(group, ())])
    await services.start()
    await _at_rest(db, sources)
    await services.stop()
    return await digest(sources)


async def _at_rest(db: asyncpg.Connection[asyncpg.Record], sources: Sources) -> None:
    deadline = timedelta(seconds=60)
    moving = await rest.wait(db, sources, deadline=deadline, progress=lambda _: None)
    assert moving.databases_rest, moving
    assert moving.lag == 0, moving
