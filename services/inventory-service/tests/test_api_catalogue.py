"""The catalogue over HTTP: removal and return, switching, categories, search and filters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.desk import Desk, code_of

pytestmark = pytest.mark.postgres


def product(sku: str, **changes: Any) -> dict[str, Any]:
    price = {"amount": 255, "currency": "GBP"}
    return {"sku": sku, "name": sku.title(), "price": price, "stock": 9, "lowStock": 2, **changes}


async def add(desk: Desk, *products: dict[str, Any]) -> None:
    answer = await desk.ask("POST", "/products/bulk", json={"products": list(products)})
    assert answer.status_code == 201, answer.text


async def add_category(desk: Desk, name: str) -> None:
    answer = await desk.ask("POST", "/categories", json={"id": name, "name": name.title()})
    assert answer.status_code == 201, answer.text


async def skus(desk: Desk, query: str) -> list[str]:
    answer = await desk.ask("GET", f"/products?{query}", role=None)
    assert answer.status_code == 200, answer.text
    return [each["sku"] for each in answer.json()["data"]]


async def test_a_removed_product_is_gone_from_every_list(desk: Desk) -> None:
    await add(desk, product("lamp", stock=0), product("vase"))

    removed = await desk.ask("DELETE", "/products/lamp")

    assert (removed.status_code, removed.content) == (204, b"")
    assert await skus(desk, "") == await skus(desk, "q=a") + ["vase"] == ["vase"]
    for path in ("/inventory", "/inventory/out-of-stock"):
        listed = await desk.ask("GET", path)
        assert "lamp" not in [each["sku"] for each in listed.json()["data"]]
    body = {"sku": "lamp", "quantity": 1, "reason": "found"}
    refused = await desk.ask("POST", "/inventory/adjustments", json=body)
    assert code_of(refused) == (422, "unknown_product")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/products/lamp", None),
        ("GET", "/inventory/lamp", None),
        ("PATCH", "/products/lamp", {"active": True}),
        ("PATCH", "/products/lamp/activate", None),
        ("PATCH", "/products/lamp/deactivate", None),
        ("DELETE", "/products/lamp", None),
    ],
)
@pytest.mark.parametrize("history", ["removed", "never seen"])
async def test_what_is_not_in_the_catalogue_is_not_found(
    desk: Desk, history: str, method: str, path: str, body: Any
) -> None:
    if history == "removed":
        await add(desk, product("lamp"))
        await desk.ask("DELETE", "/products/lamp")

    answer = await desk.ask(method, path, **({"json": body} if body else {}))

    assert code_of(answer) == (404, "not_found")


async def test_a_removed_product_comes_back_as_it_is_added(desk: Desk) -> None:
    await add(desk, product("lamp"))
    await desk.ask("DELETE", "/products/lamp")

    again = await desk.ask("POST", "/products", json=product("lamp", name="New lamp", stock=4))

    assert (again.status_code, again.json()["name"], again.json()["active"]) == (
        201,
        "New lamp",
        True,
    )
    stock = (await desk.ask("GET", "/inventory/lamp")).json()
    ledger = (await desk.ask("GET", "/inventory/movements?sku=lamp")).json()["data"]
    assert stock["available"] == 4
    assert [(each["kind"], each["quantity"]) for each in ledger] == [
        ("adjusted", -5),
        ("initial", 9),
    ]
    assert None not in [each["madeBy"] for each in ledger]


async def test_a_removal_by_many_at_once_happens_once(desk: Desk) -> None:
    await add(desk, product("lamp"))

    answers = await asyncio.gather(*(desk.ask("DELETE", "/products/lamp") for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 7


async def test_a_removed_sku_is_added_anew_by_one_of_many(desk: Desk) -> None:
    await add(desk, product("lamp"))
    await desk.ask("DELETE", "/products/lamp")

    answers = await asyncio.gather(
        *(desk.ask("POST", "/products", json=product("lamp")) for _ in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_product_is_switched_off_and_on(desk: Desk) -> None:
    await add(desk, product("lamp"))

    switched = [
        (await desk.ask("PATCH", f"/products/lamp/{word}")).json()["active"]
        for word in ("deactivate", "deactivate", "activate", "activate")
    ]

    assert switched == [False, False, True, True]


async def test_products_are_filtered_by_all_that_is_given(desk: Desk) -> None:
    await add_category(desk, "light")
    await add(
        desk,
        product("lamp", category="light", stock=0),
        product("bulb", category="light", stock=2),
        product("wax", name="Lamp wax"),
    )
    await desk.ask("PATCH", "/products/bulb/deactivate")

    assert await skus(desk, "category=light") == ["bulb", "lamp"]
    assert await skus(desk, "category=dark") == []
    assert await skus(desk, "active=false") == ["bulb"]
    assert await skus(desk, "active=true&category=light") == ["lamp"]
    assert await skus(desk, "availability=NONE") == ["lamp"]
    assert await skus(desk, "availability=LOW") == ["bulb"]
    assert await skus(desk, "q=LAMP") == ["lamp", "wax"]
    assert await skus(desk, "q=lamp&availability=SOME") == ["wax"]


async def test_staff_searches_the_stock_as_customers_search_the_catalogue(desk: Desk) -> None:
    await add(desk, product("lamp"), product("vase", stock=0), product("wax", name="Lamp wax"))

    found = await desk.ask("GET", "/inventory?q=lamp&active=true", role="staff")
    out = await desk.ask("GET", "/inventory?availability=NONE", role="staff")

    assert [each["sku"] for each in found.json()["data"]] == ["lamp", "wax"]
    assert [each["sku"] for each in out.json()["data"]] == ["vase"]


async def test_stock_that_runs_out_is_listed(desk: Desk) -> None:
    await add(desk, product("full"), product("low", stock=2), product("out", stock=0))

    low = await desk.ask("GET", "/inventory/low-stock", role="staff")
    out = await desk.ask("GET", "/inventory/out-of-stock", role="staff")

    assert [each["sku"] for each in low.json()["data"]] == ["low"]
    assert [each["sku"] for each in out.json()["data"]] == ["out"]


async def test_a_category_lives_as_long_as_nothing_is_in_it(desk: Desk) -> None:
    added = await desk.ask("POST", "/categories", json={"id": "light", "name": "Light"})
    twice = await desk.ask("POST", "/categories", json={"id": "light", "name": "Light"})
    await add(desk, product("lamp", category="light"))
    renamed = await desk.ask("PATCH", "/categories/light", json={"name": "Lights"})
    in_use = await desk.ask("DELETE", "/categories/light")
    listed = await desk.ask("GET", "/categories", role=None)
    moved = await desk.ask("PATCH", "/products/lamp", json={"category": ""})
    removed = await desk.ask("DELETE", "/categories/light")
    gone = await desk.ask("GET", added.headers["Location"].removeprefix("/api/v1"))

    assert added.status_code == 201
    assert code_of(twice) == (409, "category_taken")
    assert renamed.json() == {"id": "light", "name": "Lights"}
    assert code_of(in_use) == (409, "category_in_use")
    assert listed.json() == {"data": [{"id": "light", "name": "Lights"}], "nextCursor": None}
    assert moved.json()["category"] is None
    assert removed.status_code == 204
    assert code_of(gone) == (404, "not_found")


async def test_a_removed_product_does_not_keep_its_category(desk: Desk) -> None:
    await add_category(desk, "light")
    await add(desk, product("lamp", category="light"))
    await desk.ask("DELETE", "/products/lamp")

    assert (await desk.ask("DELETE", "/categories/light")).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/products", product("vase", category="dark")),
        ("POST", "/products/bulk", {"products": [product("vase", category="dark")]}),
        ("PATCH", "/products/lamp", {"category": "dark"}),
    ],
    ids=["added", "added in bulk", "changed"],
)
async def test_an_unknown_category_is_refused(
    desk: Desk, method: str, path: str, body: dict[str, Any]
) -> None:
    await add(desk, product("lamp"))

    answer = await desk.ask(method, path, json=body)

    assert code_of(answer) == (422, "unknown_category")
    assert await skus(desk, "") == ["lamp"]


async def test_a_category_is_never_removed_from_under_a_product(desk: Desk) -> None:
    await add(desk, product("lamp"))
    for _ in range(5):
        await add_category(desk, "light")
        put, removed = await asyncio.gather(
            desk.ask("PATCH", "/products/lamp", json={"category": "light"}),
            desk.ask("DELETE", "/categories/light"),
        )
        outcomes = (put.status_code, removed.status_code)
        assert outcomes in {(200, 409), (422, 204)}, (put.text, removed.text)
        await desk.ask("PATCH", "/products/lamp", json={"category": ""})
        await desk.ask("DELETE", "/categories/light")
