"""A large catalogue is listed and searched by indexes, none of which an order has to touch."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from common import searching
from common.database import Database
from common.message import uuid7
from inventory_service.domain.stockroom import Movement, MovementKind, Stockroom
from inventory_service.store import batches, catalogue, ledger, reconciliation
from inventory_service.store.catalogue import ProductFilter

from tests.support.plans import analyse, filling, plan_of
from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres

MANY = 100_000


async def fill(databases: Databases) -> None:
    async with filling(databases.admin_dsn, "inventory") as admin:
        await admin.execute(
            "INSERT INTO categories SELECT 'c' || n, 'C' FROM generate_series(0, 99) n"
        )
        await admin.execute(
            """
            INSERT INTO stock (sku, name, price, currency, active, available, low_stock, category,
                               deleted_at)
            SELECT 'sku-' || n, 'Product ' || md5(n::text), 100, 'GBP', n % 500 <> 0,
                   CASE WHEN n % 400 = 1 THEN 0 WHEN n % 400 = 2 THEN 1 ELSE 9 END, 2,
                   CASE WHEN n % 500 <> 0 THEN 'c' || n % 100 END,
                   CASE WHEN n % 1000 = 0 THEN now() END
              FROM generate_series(1, $1::int) AS n
            """,
            MANY,
        )
        await admin.execute(
            """
            INSERT INTO movements (sku, kind, quantity, order_id, at)
            SELECT 'sku-' || n, CASE WHEN n % 1000 = 0 THEN 'adjusted' ELSE 'reserved' END, 1,
                   CASE WHEN n % 1000 <> 0 THEN gen_random_uuid() END,
                   now() - make_interval(secs => $1 - n)
              FROM generate_series(1, $1::int) AS n
            """,
            MANY,
        )


# No product has the texts that are rare: of a hundred that it keeps of a column, the planner takes
# each for a hundredth of all.
LISTED: list[tuple[dict[str, Any], str]] = [
    ({}, "pk_stock"),
    ({"text": "PRODUCT"}, "pk_stock"),
    ({"text": "sku-777777"}, "ix_stock_search"),
    ({"text": "zz"}, "ix_stock_search"),
    ({"text": "sku-777777", "category": "c77"}, "ix_stock_search"),
    ({"category": "c7"}, "ix_stock_category_sku"),
    ({"active": True}, "pk_stock"),
    ({"active": False}, "ix_stock_inactive"),
    ({"availability": "NONE"}, "ix_stock_availability_sku"),
    ({"availability": "LOW"}, "ix_stock_availability_sku"),
    ({"availability": "SOME"}, "ix_stock_availability_sku"),
]

MOVED: list[tuple[tuple[Any, ...], str]] = [
    ((None, None, None, None, None), "pk_movements"),
    (("sku-5", None, None, None, None), "ix_movements_sku_id"),
    ((None, UUID(int=7), None, None, None), "ix_movements_order_id_id"),
    ((None, None, "adjusted", None, None), "ix_movements_kind_id"),
    ((None, None, "unsold", None, None), "ix_movements_kind_id"),
    ((None, None, "restocked", None, None), "ix_movements_kind_id"),
]


@pytest.mark.timeout(300)  # two hundred thousand rows are written first
async def test_no_list_reads_a_whole_table(database: Database, databases: Databases) -> None:
    await fill(databases)
    await analyse(databases.admin_dsn, "inventory.stock", "inventory.movements")

    async with database.transaction() as tx:
        await searching.plan_afresh(tx)
        for wanted, index in LISTED:
            values = catalogue.filters_of(ProductFilter(**wanted))
            plan = await plan_of(tx, catalogue.LIST_SHELVES, *values, "sku-1", 21)
            assert "Seq Scan" not in plan, (wanted, plan)
            assert index in plan, (wanted, plan)
        for filters, index in MOVED:
            plan = await plan_of(tx, ledger.LIST_MOVEMENTS, *filters, 2**62, 21)
            assert "Seq Scan" not in plan, (filters, plan)
            assert index in plan, (filters, plan)
        plan = await plan_of(tx, reconciliation.READ_BOOKS, "sku-5", "sku-500")
        assert {"pk_stock", "ix_movements_sku_id"} <= plan


async def test_an_order_touches_no_index_of_the_catalogue(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO stock (sku, name, price, currency, available, low_stock)
            VALUES ('lamp', 'Lamp', 100, 'GBP', 9, 2)
            """
        )
    async with database.transaction() as tx:
        for _ in range(3):
            room = Stockroom(shelves=await batches.lock_shelves(tx, ["lamp"]))
            room.fold(Movement("lamp", MovementKind.RESERVED, 1, uuid7()))
            await batches.save(tx, room)
        hot = await tx.fetchrow(
            """
            SELECT pg_stat_get_xact_tuples_updated('stock'::regclass) AS updated,
                   pg_stat_get_xact_tuples_hot_updated('stock'::regclass) AS hot
            """
        )

    assert hot
    assert (hot["updated"], hot["hot"]) == (3, 3)


async def test_the_stored_availability_is_the_shelf_s(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO stock (sku, name, price, currency, available, low_stock)
            SELECT available || ' of ' || low, 'Lamp', 100, 'GBP', available, low
              FROM generate_series(0, 4) AS available, generate_series(0, 3) AS low
            """
        )
        rows = await tx.fetch("SELECT * FROM stock")

    assert len(rows) == 20
    assert [row["availability"] for row in rows] == [
        batches.shelf_of(row).availability for row in rows
    ]
