from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from common.message import uuid7

from tests.support.desk import Desk, code_of

pytestmark = pytest.mark.postgres

LAMP = {
    "sku": "lamp",
    "name": "Lamp",
    "price": {"amount": 255, "currency": "GBP"},
    "stock": 9,
    "lowStock": 2,
}


async def add(desk: Desk, *skus: str) -> None:
    body = {"products": [{**LAMP, "sku": sku} for sku in skus]}
    answer = await desk.ask("POST", "/products/bulk", json=body)
    assert answer.status_code == 201, answer.text


async def test_an_added_product_can_be_seen(desk: Desk) -> None:
    added = await desk.ask("POST", "/products", json=LAMP)
    seen = await desk.ask("GET", added.headers["Location"].removeprefix("/api/v1"), role=None)

    assert added.status_code == 201
    assert (
        seen.json()
        == added.json()
        == {
            "sku": "lamp",
            "name": "Lamp",
            "price": {"amount": 255, "currency": "GBP"},
            "active": True,
            "available": "SOME",
            "allowPartial": False,
            "category": None,
        }
    )


async def test_a_thousand_products_are_added_at_once(desk: Desk) -> None:
    products = [{**LAMP, "sku": f"sku-{number}"} for number in range(1000)]

    added = await desk.ask("POST", "/products/bulk", json={"products": products})

    assert added.status_code == 201
    assert [product["sku"] for product in added.json()["data"]] == [p["sku"] for p in products]


async def test_a_taken_sku_is_refused(desk: Desk) -> None:
    await add(desk, "lamp")

    again = await desk.ask("POST", "/products", json=LAMP)

    assert code_of(again) == (409, "sku_taken")


async def test_a_product_is_changed_in_part(desk: Desk) -> None:
    await add(desk, "lamp")

    changed = await desk.ask("PATCH", "/products/lamp", json={"active": False})

    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["active"]) == ("Lamp", False)


async def test_whether_less_may_be_sold_is_told_and_changed(desk: Desk) -> None:
    added = await desk.ask("POST", "/products", json={**LAMP, "allowPartial": True})
    changed = await desk.ask("PATCH", "/products/lamp", json={"allowPartial": False})
    renamed = await desk.ask("PATCH", "/products/lamp", json={"name": "Lantern"})

    assert [each.json()["allowPartial"] for each in (added, changed, renamed)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("wrong", ["true", 1, None], ids=["a text", "a number", "nothing"])
async def test_whether_less_may_be_sold_is_yes_or_no(desk: Desk, wrong: object) -> None:
    await add(desk, "lamp")

    added = await desk.ask("POST", "/products", json={**LAMP, "sku": "x", "allowPartial": wrong})
    changed = await desk.ask("PATCH", "/products/lamp", json={"allowPartial": wrong})

    assert code_of(added) == code_of(changed) == (422, "validation_failed")


async def test_an_adjustment_is_counted_and_kept_with_its_reason(desk: Desk) -> None:
    await add(desk, "lamp")
    body = {"sku": "lamp", "quantity": -8, "reason": "broken in the storm"}

    adjusted = await desk.ask("POST", "/inventory/adjustments", json=body)
    stock = await desk.ask("GET", "/inventory/lamp", role="staff")
    ledger = await desk.ask("GET", "/inventory/movements?sku=lamp", role="staff")

    assert adjusted.status_code == 201
    assert (
        stock.json()
        == adjusted.json()
        == {
            "sku": "lamp",
            "name": "Lamp",
            "active": True,
            "available": 1,
            "reserved": 0,
            "sold": 0,
            "lowStock": 2,
            "availability": "LOW",
        }
    )
    entries = [(m["kind"], m["quantity"], m["reason"]) for m in ledger.json()["data"]]
    assert entries == [("adjusted", -8, "broken in the storm"), ("initial", 9, None)]


async def test_a_reservation_is_shown_with_its_lines(desk: Desk) -> None:
    order_id, deadline = uuid7(), datetime.now(UTC) + timedelta(minutes=15)
    async with desk.service.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO reservations (order_id, state, deadline_at) VALUES ($1, 'HELD', $2)",
            order_id,
            deadline,
        )
        await tx.execute(
            "INSERT INTO reservation_lines (order_id, line_no, sku, quantity) "
            "VALUES ($1, 1, 'lamp', 3)",
            order_id,
        )

    shown = await desk.ask("GET", f"/inventory/reservations?orderId={order_id}", role="staff")
    none = await desk.ask("GET", f"/inventory/reservations?orderId={UUID(int=0)}", role="staff")

    (reservation,) = shown.json()["data"]
    assert (reservation["orderId"], reservation["state"]) == (str(order_id), "HELD")
    assert reservation["lines"] == [{"lineNo": 1, "sku": "lamp", "quantity": 3, "restocked": 0}]
    assert none.json() == {"data": [], "nextCursor": None}


@pytest.mark.parametrize("path", ["/products", "/inventory"])
async def test_a_list_is_read_page_by_page(desk: Desk, path: str) -> None:
    await add(desk, "e", "c", "a", "d", "b")
    skus: list[str] = []
    cursor: str | None = ""

    while cursor is not None:
        query = f"?limit=2{f'&cursor={cursor}' if cursor else ''}"
        answer = await desk.ask("GET", path + query)
        skus += [entry["sku"] for entry in answer.json()["data"]]
        cursor = answer.json()["nextCursor"]
        assert ("Link" in answer.headers) == (cursor is not None)

    assert skus == ["a", "b", "c", "d", "e"]


async def test_a_ledger_is_read_page_by_page(desk: Desk) -> None:
    await add(desk, "lamp")
    for quantity in (1, 2, 3):
        body = {"sku": "lamp", "quantity": quantity, "reason": "delivery"}
        await desk.ask("POST", "/inventory/adjustments", json=body)

    first = await desk.ask("GET", "/inventory/movements?sku=lamp&limit=3")
    rest = await desk.ask(
        "GET", f"/inventory/movements?sku=lamp&limit=3&cursor={first.json()['nextCursor']}"
    )

    assert [each["quantity"] for each in first.json()["data"]] == [3, 2, 1]
    assert [each["quantity"] for each in rest.json()["data"]] == [9]
    assert rest.json()["nextCursor"] is None


async def test_a_cursor_of_another_list_is_refused(desk: Desk) -> None:
    await add(desk, "a", "b")
    page = await desk.ask("GET", "/products?limit=1")
    cursor = page.json()["nextCursor"]

    assert code_of(await desk.ask("GET", f"/inventory?cursor={cursor}")) == (
        422,
        "validation_failed",
    )
    assert code_of(await desk.ask("GET", f"/products?cursor={cursor[::-1]}")) == (
        422,
        "validation_failed",
    )


@pytest.mark.parametrize(
    ("sku", "quantity", "expected"),
    [("vase", 1, (422, "unknown_product")), ("lamp", -10, (409, "invalid_state"))],
    ids=["unknown product", "more than is free"],
)
async def test_an_impossible_adjustment_is_refused(
    desk: Desk, sku: str, quantity: int, expected: tuple[int, str]
) -> None:
    await add(desk, "lamp")
    body = {"sku": sku, "quantity": quantity, "reason": "recount"}

    answer = await desk.ask("POST", "/inventory/adjustments", json=body)

    assert code_of(answer) == expected
    stock = await desk.ask("GET", "/inventory/lamp")
    assert stock.json()["available"] == 9


async def test_an_unknown_product_is_not_found(desk: Desk) -> None:
    answers = [
        await desk.ask("GET", "/products/nowhere"),
        await desk.ask("GET", "/inventory/nowhere"),
        await desk.ask("PATCH", "/products/nowhere", json={"active": False}),
    ]

    assert [code_of(answer) for answer in answers] == [(404, "not_found")] * 3


async def test_one_sku_added_by_many_at_once_is_added_once(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.ask("POST", "/products", json=LAMP) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_forged_host_appears_nowhere(desk: Desk) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "x"}

    added = await desk.ask("POST", "/products", json=LAMP, headers=forged)
    await add(desk, "vase")
    listed = await desk.ask("GET", "/products?limit=1", headers=forged)

    assert added.headers["Location"] == "/api/v1/products/lamp"
    assert listed.headers["Link"].startswith("</api/v1/products?")
    assert "evil.example" not in added.text + listed.text + listed.headers["Link"]
