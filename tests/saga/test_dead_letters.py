"""A thousand messages die of a deploy without their schema; replayed twice, each has one effect."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from devstack.stack import Stack
from devstack.topology import ROOT
from invariants.checker import check
from invariants.sources import Sources

from tests.saga.conftest import Town, open_shop, sold_everywhere
from tests.support.operator import operator_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(280)]

LETTERS, BUYERS = 1000, 8
DEAD = "SELECT count(*) = $1 FROM payments.parked WHERE state = 'dead'"
UNSETTLED = "SELECT count(*) = 0 FROM orders.orders WHERE saga <> 'COMPLETED'"


async def test_a_thousand_dead_letters_replayed_twice_amid_traffic_have_each_effect_once(
    tmp_path: Path,
) -> None:
    async with Stack.start(durable=False) as stack:
        services = await stack.start_services()
        await services.stop("payment")
        services.overrides["payment"] = {
            "SCHEMAS_DIR": str(_without_reservations(tmp_path / "schemas")),
            "RETRY_ATTEMPTS": "1",
        }
        await services.start("payment")
        shop, customer = await open_shop(
            services.url("order"), services.url("inventory"), stack.signing_key.read_text()
        )
        db = await asyncpg.connect(stack.admin_dsn)
        async with shop:
            await eventually(lambda: sold_everywhere(db))
            await _restock(db, 10 * LETTERS)
            town = Town(shop, customer, db)
            await _buy(town, LETTERS)
            await eventually(lambda: db.fetchval(DEAD, LETTERS), 60)
            await services.stop("payment")
            del services.overrides["payment"]
            await services.start("payment")

            replay = ("dlt", "replay", "payment", "--rate", "1000", "--yes")
            operator = operator_of(stack, services)
            # Somebody else's traffic: the first customer may have no more than these open orders.
            other = replace(town, customer=await shop.enter("somebody-else"))
            _, *jobs = await asyncio.gather(
                _buy(other, 100), operator.ask(*replay), operator.ask(*replay)
            )
            # Who comes second may find nothing left, and is told the plan alone.
            assert sum(job.get("replayed", 0) for job in jobs) == LETTERS

            await eventually(lambda: db.fetchval(UNSETTLED), 90)
        await db.close()
        report = await check(
            Sources(stack.admin_dsn, stack.bootstrap, stack.gateway_ledger, stack.mail_dir),
            deadline=timedelta(seconds=60),
        )
        assert report.holds, [finding for finding in report.findings if not finding.holds]


def _without_reservations(schemas: Path) -> Path:
    """Copy the contract as it was before anybody said StockReserved."""
    shutil.copytree(ROOT / "schemas", schemas, ignore=shutil.ignore_patterns("__pycache__"))
    for file, name in (
        ("ids.json", "inventory.v1/StockReserved"),
        ("released/inventory.v1.json", "StockReserved"),
    ):
        known = json.loads((schemas / file).read_text())
        del known[name]
        (schemas / file).write_text(json.dumps(known))
    return schemas


async def _restock(db: asyncpg.Connection[asyncpg.Record], pieces: int) -> None:
    await db.execute("UPDATE inventory.stock SET available = $1", pieces)
    await db.execute("UPDATE inventory.movements SET quantity = $1 WHERE kind = 'initial'", pieces)


async def _buy(town: Town, orders: int) -> list[UUID]:
    async def some() -> list[UUID]:
        return [await town.order() for _ in range(orders // BUYERS)]

    placed = await asyncio.gather(*(some() for _ in range(BUYERS)))
    rest = [await town.order() for _ in range(orders % BUYERS)]
    return [*rest, *(order for each in placed for order in each)]
