from __future__ import annotations

from typing import Any

import pytest
from common.message import uuid7
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_service.domain.reconciliation import Books, Difference, reconcile
from inventory_service.domain.stockroom import Counts, MovementKind

from tests.support.desk import Desk, code_of

DIFFERENCES = "http://pedido/ops/v1/stock-differences"

QUANTITIES = st.integers(min_value=0, max_value=10**12)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(MovementKind), QUANTITIES))
def test_books_that_were_kept_have_no_difference(moved: dict[MovementKind, int]) -> None:
    def moves(kind: MovementKind) -> int:
        return moved.get(kind, 0)

    held = moves(MovementKind.RESERVED) - moves(MovementKind.RELEASED)
    held -= moves(MovementKind.COMMITTED)
    sold = moves(MovementKind.COMMITTED) - moves(MovementKind.UNSOLD)
    came = sum(moves(k) for k in (MovementKind.INITIAL, MovementKind.ADJUSTED))
    came += moves(MovementKind.RESTOCKED)
    counted = Counts(came - held - sold, held, sold)

    assert list(reconcile(Books("lamp", counted, moved, held))) == []


@settings(deadline=None)
@given(
    st.tuples(*[st.integers(-5, 5)] * 3).map(Counts._make).filter(any),
    st.integers(5, 100),
)
def test_every_count_that_is_off_is_told(off: Counts, initial: int) -> None:
    right = Counts(initial, 0, 0)
    books = Books("lamp", right.plus(off), {MovementKind.INITIAL: initial}, off.reserved)

    found = {each.column: each.found - each.expected for each in reconcile(books)}

    assert found == {name: value for name, value in off._asdict().items() if value}


def test_movements_of_no_product_are_told() -> None:
    books = Books("ghost", None, {MovementKind.INITIAL: 3}, 0)

    assert list(reconcile(books)) == [Difference("ghost", "available", 3, 0, "no_product")]


def test_a_hold_that_no_reservation_has_is_told() -> None:
    moved = {MovementKind.INITIAL: 3, MovementKind.RESERVED: 1}

    assert list(reconcile(Books("lamp", Counts(2, 1, 0), moved, 0))) == [
        Difference("lamp", "reserved", 0, 1, "reservations_differ")
    ]


async def add(desk: Desk, *skus: str) -> None:
    price = {"amount": 255, "currency": "GBP"}
    products = [{"sku": sku, "name": sku, "price": price, "stock": 9} for sku in skus]
    answer = await desk.ask("POST", "/products/bulk", json={"products": products})
    assert answer.status_code == 201, answer.text


async def check(desk: Desk, **query: Any) -> dict[str, Any]:
    answer = await desk.ask("GET", DIFFERENCES, role="operator", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


@pytest.mark.postgres
async def test_a_count_that_was_broken_on_purpose_is_found(desk: Desk) -> None:
    await add(desk, "fan", "lamp", "vase")
    order_id = uuid7()
    async with desk.service.database.transaction() as tx:
        await tx.execute("UPDATE stock SET available = 8 WHERE sku = 'lamp'")
        await tx.execute("INSERT INTO movements (sku, kind, quantity) VALUES ('wax', 'initial', 4)")
        await tx.execute(
            "INSERT INTO reservations (order_id, state, deadline_at) VALUES ($1, 'HELD', now())",
            order_id,
        )
        await tx.execute(
            "INSERT INTO reservation_lines (order_id, line_no, sku, quantity, restocked) "
            "VALUES ($1, 1, 'fan', 3, 1)",
            order_id,
        )

    page = await check(desk)

    def off(sku: str, column: str, expected: int, found: int, reason: str) -> dict[str, Any]:
        return {
            "sku": sku,
            "column": column,
            "expected": expected,
            "found": found,
            "reason": reason,
        }

    assert page == {
        "data": [
            off("fan", "reserved", 2, 0, "reservations_differ"),
            off("lamp", "available", 9, 8, "movements_differ"),
            off("wax", "available", 4, 0, "no_product"),
        ],
        "checked": 3,
        "products": 3,
        "nextCursor": None,
    }


@pytest.mark.postgres
async def test_each_product_is_checked_once_page_by_page(desk: Desk) -> None:
    await add(desk, "a", "b", "c", "d", "e")
    await desk.ask("DELETE", "/products/c")
    async with desk.service.database.transaction() as tx:
        await tx.execute("UPDATE stock SET sold = 1")
        await tx.execute("INSERT INTO movements (sku, kind, quantity) VALUES ('bb', 'initial', 4)")

    found: list[str] = []
    checked = 0
    cursor: str | None = ""
    while cursor is not None:
        page = await check(desk, limit=2, **({"cursor": cursor} if cursor else {}))
        found += [each["sku"] for each in page["data"]]
        checked += page["checked"]
        cursor = page["nextCursor"]

    assert found == ["a", "b", "bb", "c", "d", "e"]
    assert checked == 5


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=x", "sku=lamp", "limit=x"])
async def test_a_bad_stretch_is_refused(closed_desk: Desk, query: str) -> None:
    answer = await closed_desk.ask("GET", f"{DIFFERENCES}?{query}", role="operator")

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize("role", [None, "customer", "staff", "admin"])
async def test_only_operators_reconcile(closed_desk: Desk, role: str | None) -> None:
    answer = await closed_desk.ask("GET", DIFFERENCES, role=role)

    assert answer.status_code == (401 if role is None else 403)
