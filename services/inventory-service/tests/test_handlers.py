from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from common.database import Database
from common.errors import Refusal
from common.message import uuid7
from inventory_service import handlers
from inventory_service.domain.products import AddProduct, AdjustStock, ChangeProduct
from inventory_service.domain.stockroom import Counts
from inventory_service.messages import Money
from prometheus_client import REGISTRY

pytestmark = pytest.mark.postgres

PRICE = Money(amount=255, currency="GBP")


async def add(database: Database, *commands: AddProduct) -> None:
    async with database.transaction() as tx:
        await handlers.add_products(tx, commands)


async def announced(database: Database) -> list[tuple[str, str]]:
    """List what catalog.v1 will hear: sku and version."""
    async with database.transaction() as tx:
        rows = await tx.fetch(
            """
            SELECT convert_from(aggregateid, 'UTF8') AS sku,
                   convert_from(header_values[array_position(header_names, 'ce_version')], 'UTF8')
                       AS version
              FROM outbox WHERE topic = 'catalog.v1' ORDER BY id
            """
        )
    return [(row["sku"], row["version"]) for row in rows]


async def ledger(database: Database, sku: str) -> list[tuple[str, int, str | None]]:
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT kind, quantity, reason FROM movements WHERE sku = $1 ORDER BY id", sku
        )
    return [tuple(row) for row in rows]


async def test_products_are_added_and_announced_together(database: Database) -> None:
    await add(database, AddProduct("vase", "Vase", PRICE, 0), AddProduct("lamp", "Lamp", PRICE, 9))

    async with database.transaction() as tx:
        lamp = await handlers.get_product(tx, "lamp")
    assert (lamp.counts, lamp.price, lamp.version) == (Counts(available=9), PRICE, 1)
    assert await announced(database) == [("vase", "1"), ("lamp", "1")]
    assert await ledger(database, "lamp") == [("initial", 9, None)]
    assert await ledger(database, "vase") == []


async def test_one_taken_sku_refuses_them_all(database: Database) -> None:
    await add(database, AddProduct("lamp", "Lamp", PRICE, 9))

    with pytest.raises(Refusal) as refused:
        await add(
            database, AddProduct("vase", "Vase", PRICE, 1), AddProduct("lamp", "Lamp", PRICE, 1)
        )

    assert refused.value.code == "sku_taken"
    assert [error.pointer for error in refused.value.errors] == ["/products/1/sku"]
    assert await announced(database) == [("lamp", "1")]
    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT array_agg(sku) FROM stock") == ["lamp"]


async def test_a_changed_product_is_announced_under_a_new_version(database: Database) -> None:
    await add(database, AddProduct("lamp", "Lamp", PRICE, 9))
    change = ChangeProduct("lamp", price=Money(amount=300, currency="GBP"), active=False)

    for _ in range(2):
        async with database.transaction() as tx:
            changed = await handlers.change_product(tx, change)

    assert (changed.price.amount, changed.active, changed.version) == (300, False, 2)
    assert await announced(database) == [("lamp", "1"), ("lamp", "2")]


async def test_an_adjustment_goes_through_the_ledger(database: Database) -> None:
    await add(database, AddProduct("lamp", "Lamp", PRICE, 9))

    async with database.transaction() as tx:
        shelf = await handlers.adjust_stock(tx, AdjustStock("lamp", -9, "broken"))

    assert shelf.counts == Counts()
    assert await ledger(database, "lamp") == [("initial", 9, None), ("adjusted", -9, "broken")]
    assert await announced(database) == [("lamp", "1"), ("lamp", "2")]


@pytest.mark.parametrize("use_case", ["read", "changed", "adjusted"])
async def test_an_unknown_product_is_refused(database: Database, use_case: str) -> None:
    async def attempt() -> None:
        async with database.transaction() as tx:
            match use_case:
                case "read":
                    await handlers.get_product(tx, "nowhere")
                case "changed":
                    await handlers.change_product(tx, ChangeProduct("nowhere", active=False))
                case _:
                    await handlers.adjust_stock(tx, AdjustStock("nowhere", 1, "found"))

    with pytest.raises(Refusal) as refused:
        await attempt()

    assert refused.value.code in {"not_found", "unknown_product"}


async def test_only_reservations_long_past_their_deadline_raise_the_alert(
    database: Database,
) -> None:
    now = datetime.now(UTC)
    async with database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO reservations (order_id, state, deadline_at)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[])
            """,
            [uuid7(), uuid7(), uuid7()],
            ["HELD", "HELD", "COMMITTED"],
            [now - timedelta(minutes=6), now - timedelta(minutes=4), now - timedelta(days=1)],
        )

    assert await handlers.watch_overdue(database) == 0

    assert REGISTRY.get_sample_value("pedido_reservations_overdue") == 1
