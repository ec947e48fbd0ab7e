from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.desk import Desk, code_of

LAMP = {
    "sku": "lamp",
    "name": "Lamp",
    "price": {"amount": 255, "currency": "GBP"},
    "stock": 9,
    "lowStock": 2,
}

ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/products", LAMP),
    ("POST", "/products/bulk", {"products": [LAMP]}),
    ("PATCH", "/products/lamp", {"active": False}),
    ("POST", "/inventory/adjustments", {"sku": "lamp", "quantity": 1, "reason": "found"}),
    ("GET", "/inventory", None),
    ("GET", "/inventory/lamp", None),
    ("GET", "/inventory/movements?sku=lamp", None),
    ("GET", f"/inventory/reservations?orderId={UUID(int=0)}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_who_may_not_is_turned_away(
    closed_desk: Desk, method: str, path: str, body: Any
) -> None:
    request = {} if body is None else {"json": body}
    barred = ["customer", "operator", *(["staff"] if body else [])]

    anonymous = await closed_desk.ask(method, path, role=None, **request)
    answers = [await closed_desk.ask(method, path, role=role, **request) for role in barred]

    assert code_of(anonymous) == (401, "unauthenticated")
    assert {code_of(answer) for answer in answers} == {(403, "forbidden")}


def _but(**changes: Any) -> dict[str, Any]:
    return {**LAMP, **changes}


def _priced(amount: Any, currency: Any) -> dict[str, Any]:
    return _but(price={"amount": amount, "currency": currency})


BAD_PRODUCTS = {
    "no sku": {name: value for name, value in LAMP.items() if name != "sku"},
    "sku with quotes": _but(sku="la'mp"),
    "sku with an RTL mark": _but(sku="lamp\u200f"),
    "sku with an emoji": _but(sku="💡"),
    "sku with a combining form": _but(sku="la\u0301mp"),
    "sku of 10 KB": _but(sku="l" * 10_000),
    "sku ending in a space": _but(sku="lamp "),
    "empty name": _but(name=""),
    "name with CRLF": _but(name="Lamp\r\nX-Evil: 1"),
    "negative stock": _but(stock=-1),
    "stock as text": _but(stock="9"),
    "stock as a float": _but(stock=9.0),
    "stock as true": _but(stock=True),
    "stock beyond a bigint": _but(stock=2**63),
    "price of nothing": _priced(0, "GBP"),
    "price beyond a bigint": _priced(2**63, "GBP"),
    "price as a float": _priced(2.55, "GBP"),
    "currency in lower case": _priced(255, "eur"),
    "currency that is none": _priced(255, "XXX"),
    "unknown field": _but(version=7),
    "no object": [LAMP],
}


@pytest.mark.parametrize("body", BAD_PRODUCTS.values(), ids=BAD_PRODUCTS)
async def test_a_bad_product_is_refused(closed_desk: Desk, body: Any) -> None:
    answer = await closed_desk.ask("POST", "/products", json=body)

    assert code_of(answer) == (422, "validation_failed")
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "products",
    [[], [{**LAMP, "sku": f"s{number}"} for number in range(1001)], [LAMP, LAMP]],
    ids=["none", "1,001", "one twice"],
)
async def test_a_bad_bulk_is_refused(closed_desk: Desk, products: list[Any]) -> None:
    answer = await closed_desk.ask("POST", "/products/bulk", json={"products": products})

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "malformed_json")),
        (b'{"sku": NaN}', "application/json", (400, "malformed_json")),
        (b'{"sku": "a", "sku": "b"}', "application/json", (400, "malformed_json")),
        (b'{"name": "\\u0000"}', "application/json", (400, "malformed_json")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b'"' + b"x" * 300_000 + b'"', "application/json", (413, "body_too_large")),
    ],
    ids=["not JSON", "NaN", "a name twice", "NUL", "text", "too large"],
)
async def test_a_bad_body_is_refused(
    closed_desk: Desk, content: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    answer = await closed_desk.ask(
        "POST", "/products", content=content, headers={"Content-Type": content_type}
    )

    assert code_of(answer) == expected


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/products?limit=0", (422, "validation_failed")),
        ("GET", "/products?limit=-1", (422, "validation_failed")),
        ("GET", "/products?limit=1000000000", (422, "validation_failed")),
        ("GET", "/products?colour=red", (422, "validation_failed")),
        ("GET", "/products?cursor=forged", (422, "validation_failed")),
        ("GET", "/products?cursor=%E2%82%AC", (422, "validation_failed")),
        ("GET", "/inventory/movements", (422, "validation_failed")),
        ("GET", "/inventory/reservations?orderId=7", (422, "validation_failed")),
        ("GET", "/products/la'mp", (422, "validation_failed")),
        ("GET", "/nowhere", (404, "not_found")),
        ("PUT", "/products", (405, "method_not_allowed")),
    ],
)
async def test_a_bad_question_is_refused(
    closed_desk: Desk, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert code_of(await closed_desk.ask(method, path)) == expected


@pytest.mark.parametrize("body", [{}, {"stock": 3}, {"active": None}, {"price": {"amount": 1}}])
async def test_a_bad_change_is_refused(closed_desk: Desk, body: dict[str, Any]) -> None:
    answer = await closed_desk.ask("PATCH", "/products/lamp", json=body)

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    "body",
    [
        {"sku": "lamp", "quantity": 0, "reason": "x"},
        {"sku": "lamp", "quantity": 1.0, "reason": "x"},
        {"sku": "lamp", "quantity": 10**13, "reason": "x"},
        {"sku": "lamp", "quantity": 1, "reason": ""},
        {"sku": "lamp", "quantity": 1},
    ],
    ids=["nothing", "a float", "too much", "no words", "no reason"],
)
async def test_a_bad_adjustment_is_refused(closed_desk: Desk, body: dict[str, Any]) -> None:
    answer = await closed_desk.ask("POST", "/inventory/adjustments", json=body)

    assert code_of(answer) == (422, "validation_failed")


async def test_a_database_that_is_away_is_said_so(closed_desk: Desk) -> None:
    answer = await closed_desk.ask("GET", "/products")

    assert code_of(answer) == (503, "not_ready")
    assert answer.headers["Retry-After"]
