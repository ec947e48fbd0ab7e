"""Inventory's database is lost and the shelf counted anew: an order sells what was taken of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from invariants import rest
from invariants.decides import HEARD
from invariants.sources import Sources
from invariants.stock import check_reservations, check_stock

from tests.support.waiting import eventually

if TYPE_CHECKING:
    import asyncpg
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.saga.conftest import Town
    from tests.support.kafka import Topics
    from tests.support.postgres import Databases

pytestmark = [pytest.mark.saga, pytest.mark.timeout(180)]

GROUP = "inventory-service"
COUNTED = 300
"""So many that the whole order could be held this time."""
ORDERED = 120
TAKEN = 100


async def test_a_part_that_was_taken_is_sold_again_and_not_the_whole_order(
    town: Town, services: Deployment, stack: Stack, databases: Databases, topics: Topics
) -> None:
    order = await _sell_a_part(town)
    await services.stop("inventory")
    await _lose(town.db)
    await topics.rewind(GROUP, HEARD[GROUP])

    await services.start("inventory")
    sources = Sources(
        database_url=databases.admin_dsn,
        kafka=stack.bootstrap,
        ledger=stack.gateway_ledger,
        mail=stack.mail_dir,
        topic_prefix=topics.prefix,
    )
    deadline = timedelta(seconds=60)
    moving = await rest.wait(town.db, sources, deadline=deadline, progress=lambda _: None)

    assert moving.databases_rest, moving
    assert await town.stock() == (COUNTED - TAKEN, 0, TAKEN)
    for finding in (await check_stock(town.db), await check_reservations(town.db)):
        assert finding.holds, finding
    assert await town.settled(order) == "COMPLETED"


async def _sell_a_part(town: Town) -> UUID:
    await town.db.execute("UPDATE inventory.stock SET allow_partial = true")
    order = await town.order(ORDERED)
    await eventually(
        lambda: town.db.fetchval(
            "SELECT status = 'ACTION_REQUIRED' FROM orders.orders WHERE order_id = $1", order
        )
    )
    answer = await town.shop.decide(town.customer, str(uuid4()), order, "accept_partial")
    assert answer.status == 202, answer.body
    assert await town.settled(order) == "COMPLETED"
    return order


async def _lose(db: asyncpg.Connection[asyncpg.Record]) -> None:
    """Empty all that inventory knows of orders, and count the shelf."""
    tables = ("inbox", "positions", "outbox", "movements", "reservations", "reservation_lines")
    await db.execute("TRUNCATE " + ", ".join(f"inventory.{table}" for table in tables))
    await db.execute("UPDATE inventory.stock SET available = $1, reserved = 0, sold = 0", COUNTED)
    await db.execute(
        "INSERT INTO inventory.movements (sku, kind, quantity) SELECT sku, 'initial', $1"
        "  FROM inventory.stock",
        COUNTED,
    )
