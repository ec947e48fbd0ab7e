from __future__ import annotations

import pytest
from common import searching
from order_service.store import reads

from tests.support.plans import analyse, filling, plan_of
from tests.support.postgres import Databases
from tests.support.shop import Shop

pytestmark = pytest.mark.postgres

MANY = 100_000


async def fill(databases: Databases) -> None:
    """Have a large catalogue, one in a hundred of it removed."""
    async with filling(databases.admin_dsn, "orders") as admin:
        await admin.execute(
            """
            INSERT INTO products (sku, name, price, currency, active, available, version,
                                  removed_at)
            SELECT 'sku-' || n, 'Product ' || md5(n::text), 100, 'GBP', true, 'SOME', 1,
                   CASE WHEN n % 100 = 0 THEN now() END
              FROM generate_series(1, $1::int) AS n
            """,
            MANY,
        )


@pytest.mark.timeout(300)  # a hundred thousand rows are written first
async def test_no_page_reads_the_whole_catalogue(shop: Shop, databases: Databases) -> None:
    await fill(databases)
    await analyse(databases.admin_dsn, "orders.products")
    # No product has the texts that are rare: of a hundred that it keeps of a column, the planner
    # takes each for a hundredth of all.
    served_by = {
        (None, None): "pk_products",
        (None, "sku-5"): "pk_products",
        ("PRODUCT", "sku-5"): "pk_products",
        ("sku-777777", None): "ix_products_search",
        ("777777", "sku-5"): "ix_products_search",
        ("zz", None): "ix_products_search",
    }

    async with shop.database.transaction() as tx:
        await searching.plan_afresh(tx)
        for (text, after), index in served_by.items():
            wanted = None if text is None else searching.pattern(text)
            plan = await plan_of(tx, reads.LIST_PRODUCTS, wanted, after, 21)
            assert index in plan, (text, plan)
            assert "Seq Scan" not in plan, (text, plan)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tea", ["TEA", "URN"]),
        ("EARL g", ["TEA"]),
        ("ea", ["TEA"]),
        ("e", ["TEA"]),
        ("é", ["JUG"]),
        ("ÉCL", ["JUG"]),
        ("%", []),
        ("_", []),
        ("\\", ["CUP"]),
        ("50%", ["CUP"]),
        ("5_%", []),
        ("' OR", []),
    ],
)
async def test_a_text_is_found_as_it_stands(shop: Shop, text: str, found: list[str]) -> None:
    await shop.sell(("TEA", 1), ("URN", 1), ("CUP", 1), ("JUG", 1), ("OLD", 1))
    names = {
        "TEA": "Earl Grey",
        "URN": "Big teapot",
        "CUP": "Now 50% \\ off",
        "JUG": "Éclair jug",
        "OLD": "Earl Grey tea, old",
    }
    async with shop.database.transaction() as tx:
        for sku, name in names.items():
            await tx.execute("UPDATE products SET name = $2 WHERE sku = $1", sku, name)
        await tx.execute("UPDATE products SET removed_at = now() WHERE sku = 'OLD'")

    answer = await shop.http.get("/products", params={"q": text})

    assert sorted(product["sku"] for product in answer.json()["data"]) == sorted(found)
