"""Stock over HTTP: what can be had, what there is in numbers, and corrections by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from common.auth import Principal
from common.message import uuid7

from tests.support.desk import Desk, code_of

pytestmark = pytest.mark.postgres


async def add(desk: Desk, **stock: int) -> None:
    price = {"amount": 250, "currency": "GBP"}
    products = [
        {"sku": sku, "name": sku, "price": price, "stock": pieces, "lowStock": 2}
        for sku, pieces in stock.items()
    ]
    answer = await desk.ask("POST", "/products/bulk", json={"products": products})
    assert answer.status_code == 201, answer.text


async def adjust(desk: Desk, **adjustment: Any) -> Any:
    body = {"sku": "lamp", "quantity": 5, "reason": "delivery", **adjustment}
    return await desk.ask("POST", "/inventory/adjustments", json=body)


async def movements(desk: Desk, **wanted: Any) -> list[dict[str, Any]]:
    answer = await desk.ask("GET", "/inventory/movements", role="staff", params=wanted)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["data"]
    return entries


async def test_a_customer_learns_what_can_be_had_and_not_how_much_there_is(desk: Desk) -> None:
    await add(desk, lamp=9, vase=1, urn=0, old=9, gone=9)
    await desk.ask("PATCH", "/products/old/deactivate")
    await desk.ask("DELETE", "/products/gone")
    wanted = {"lamp": 9, "vase": 2, "urn": 1, "old": 1, "gone": 1, "never": 1}
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in wanted.items()]

    answer = await desk.ask(
        "POST", "/inventory/check-availability", role="customer", json={"items": items}
    )

    assert answer.status_code == 200
    assert answer.json() == {
        "available": False,
        "items": [
            {"sku": sku, "quantity": wanted[sku], "available": available}
            for sku, available in {
                "lamp": "YES",
                "vase": "PARTIAL",
                "urn": "NO",
                "old": "NO",
                "gone": "NO",
                "never": "NO",
            }.items()
        ],
    }


async def test_the_same_product_on_two_lines_is_added_up(desk: Desk) -> None:
    await add(desk, lamp=9)
    items = [{"sku": "lamp", "quantity": 5}, {"sku": "lamp", "quantity": 4}]

    answer = await desk.ask(
        "POST", "/inventory/check-availability", role="customer", json={"items": items}
    )

    assert answer.json() == {
        "available": True,
        "items": [{"sku": "lamp", "quantity": 9, "available": "YES"}],
    }


async def test_the_stock_is_shown_in_numbers(desk: Desk) -> None:
    await add(desk, lamp=9, vase=2, urn=0, gone=100)
    yen = {"sku": "fan", "name": "Fan", "price": {"amount": 10**12, "currency": "JPY"}}
    await desk.ask("POST", "/products", json={**yen, "stock": 10**12})
    await desk.ask("PATCH", "/products/urn/deactivate")
    await desk.ask("DELETE", "/products/gone")
    async with desk.service.database.transaction() as tx:
        await tx.execute("UPDATE stock SET available = 6, reserved = 3 WHERE sku = 'lamp'")
        await tx.execute(
            "INSERT INTO reservations (order_id, state) VALUES ($1, 'CLOSED'), ($2, 'CLOSED')",
            uuid7(),
            uuid7(),
        )

    shown = (await desk.ask("GET", "/inventory/stats", role="staff")).json()

    assert shown["products"] == {"total": 4, "active": 3, "low": 1, "out": 1}
    assert shown["pieces"] == {"available": 8 + 10**12, "reserved": 3, "sold": 0}
    assert shown["value"] == [
        {"amount": 11 * 250, "currency": "GBP"},
        {"amount": 10**24, "currency": "JPY"},
    ]
    assert (shown["reservations"]["CLOSED"], shown["reservations"]["HELD"]) == (2, 0)


async def test_an_empty_house_is_shown_in_numbers(desk: Desk) -> None:
    shown = (await desk.ask("GET", "/inventory/stats", role="staff")).json()

    assert shown["products"] == {"total": 0, "active": 0, "low": 0, "out": 0}
    assert (shown["pieces"]["available"], shown["value"]) == (0, [])


async def test_who_corrected_a_count_stays_in_the_ledger(desk: Desk) -> None:
    await add(desk, lamp=9)
    admin = Principal(uuid7(), frozenset({"admin"}))
    headers = {"Authorization": f"Bearer {desk.issuer.issue(admin)}"}
    body = {"sku": "lamp", "quantity": -1, "reason": "broken", "reference": "C-1"}

    adjusted = await desk.ask(
        "POST", "/inventory/adjustments", role=None, headers=headers, json=body
    )

    (entry,) = await movements(desk, kind="adjusted")
    assert UUID(entry["madeBy"]) == admin.id
    assert (entry["reason"], entry["reference"]) == ("broken", "C-1")
    assert adjusted.headers["Location"] == "/api/v1/inventory/lamp"


async def test_one_reference_is_booked_once_however_often_it_is_sent(desk: Desk) -> None:
    await add(desk, lamp=9, vase=9)

    answers = await asyncio.gather(*(adjust(desk, reference="DN-1") for _ in range(8)))
    other = await adjust(desk, sku="vase", reference="DN-1")
    changed = await adjust(desk, quantity=6, reference="DN-1")

    assert {(each.status_code, each.json()["available"]) for each in answers} == {(201, 14)}
    assert (other.status_code, other.json()["available"]) == (201, 14)
    assert code_of(changed) == (409, "reference_used")
    assert len(await movements(desk, kind="adjusted", sku="lamp")) == 1


async def test_adjustments_without_a_reference_all_count(desk: Desk) -> None:
    await add(desk, lamp=9)

    await asyncio.gather(*(adjust(desk) for _ in range(4)))

    stock = await desk.ask("GET", "/inventory/lamp")
    assert stock.json()["available"] == 29


async def test_a_reference_of_an_unknown_product_is_refused(desk: Desk) -> None:
    assert code_of(await adjust(desk, reference="DN-1")) == (422, "unknown_product")


async def test_the_ledger_is_filtered_by_all_that_is_given(desk: Desk) -> None:
    await add(desk, lamp=9, vase=9)
    order_id, at = uuid7(), datetime.now(UTC) + timedelta(hours=1)
    async with desk.service.database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO movements (sku, kind, quantity, order_id, at)
            VALUES ('lamp', 'reserved', 1, $1, $2), ('vase', 'reserved', 2, $1, $2)
            """,
            order_id,
            at,
        )

    async def listed(**wanted: Any) -> list[tuple[str, str]]:
        return [(each["sku"], each["kind"]) for each in await movements(desk, **wanted)]

    assert await listed(orderId=order_id) == [("vase", "reserved"), ("lamp", "reserved")]
    assert await listed(orderId=order_id, sku="lamp") == [("lamp", "reserved")]
    assert await listed(kind="initial", sku="vase") == [("vase", "initial")]
    assert await listed(since=at.isoformat()) == [("vase", "reserved"), ("lamp", "reserved")]
    assert await listed(until=at.isoformat(), sku="lamp") == [("lamp", "initial")]
    assert await listed(orderId=UUID(int=0)) == []


async def test_reservations_are_listed_by_state_page_by_page(desk: Desk) -> None:
    orders = [uuid7() for _ in range(5)]
    async with desk.service.database.transaction() as tx:
        for number, order_id in enumerate(orders):
            state = "REJECTED" if number == 2 else "RELEASED"
            await tx.execute(
                "INSERT INTO reservations (order_id, state) VALUES ($1, $2)", order_id, state
            )
            await tx.execute(
                "INSERT INTO reservation_lines (order_id, line_no, sku, quantity, restocked) "
                "VALUES ($1, 1, 'lamp', $2, $2)",
                order_id,
                number + 1,
            )

    found: list[str] = []
    query = {"limit": 2, "state": "RELEASED"}
    cursor: str | None = ""
    while cursor is not None:
        params = {**query, **({"cursor": cursor} if cursor else {})}
        page = (await desk.ask("GET", "/inventory/reservations", params=params)).json()
        found += [each["orderId"] for each in page["data"]]
        assert all(len(each["lines"]) == 1 for each in page["data"])
        cursor = page["nextCursor"]

    expected = [str(order_id) for order_id in reversed(orders) if order_id != orders[2]]
    assert found == expected
