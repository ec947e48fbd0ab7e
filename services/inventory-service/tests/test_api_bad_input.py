from __future__ import annotations

import base64
import json
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
    ("POST", "/categories", {"id": "light", "name": "Light"}),
    ("PATCH", "/categories/light", {"name": "Lights"}),
    ("POST", "/inventory/adjustments", {"sku": "lamp", "quantity": 1, "reason": "found"}),
    ("GET", "/inventory", None),
    ("GET", "/inventory/lamp", None),
    ("GET", "/inventory/low-stock", None),
    ("GET", "/inventory/out-of-stock", None),
    ("GET", "/inventory/stats", None),
    ("GET", "/inventory/movements", None),
    ("GET", "/inventory/reservations", None),
]

ASKING = ("POST", "/inventory/check-availability")
"""Whoever is known may ask."""

BODILESS = [
    ("DELETE", "/products/lamp"),
    ("PATCH", "/products/lamp/activate"),
    ("PATCH", "/products/lamp/deactivate"),
    ("DELETE", "/categories/light"),
]
"""Writes of admins that have nothing to say."""


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


@pytest.mark.parametrize(("method", "path"), BODILESS)
async def test_who_may_not_remove_or_switch_is_turned_away(
    closed_desk: Desk, method: str, path: str
) -> None:
    anonymous = await closed_desk.ask(method, path, role=None)
    answers = [
        await closed_desk.ask(method, path, role=role) for role in ("customer", "staff", "operator")
    ]

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
    "price as text": _priced("255", "GBP"),
    "price as true": _priced(amount=True, currency="GBP"),
    "price without a currency": _but(price={"amount": 255}),
    "price above the bound": _priced(10**12 + 1, "GBP"),
    "yen with decimals": _priced(255.5, "JPY"),
    "dinars in their major unit": _priced("1.234", "KWD"),
    "currency in lower case": _priced(255, "eur"),
    "currency that is none": _priced(255, "XXX"),
    "unknown field version": _but(version=7),
    "unknown field user_id": _but(user_id=1),
    "unknown field of the price": _but(price={"amount": 255, "currency": "GBP", "exponent": 0}),
    "category in upper case": _but(category="Light"),
    "category with a slash": _but(category="a/b"),
    "category of 65 letters": _but(category="a" * 65),
    "category as a number": _but(category=1),
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


GOOD = json.dumps(LAMP).encode()
MALFORMED = (400, "malformed_json")

BAD_BODIES: dict[str, tuple[bytes, str | None, tuple[int, str]]] = {
    "not JSON": (b"{", "application/json", MALFORMED),
    "NaN": (b'{"sku": NaN}', "application/json", MALFORMED),
    "a name twice": (b'{"sku": "a", "sku": "b"}', "application/json", MALFORMED),
    "NUL": (b'{"name": "\\u0000"}', "application/json", MALFORMED),
    "half a surrogate pair": (b'{"name": "\\ud800"}', "application/json", MALFORMED),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "application/json", MALFORMED),
    "10,000 deep": (b"[" * 10_000 + b"]" * 10_000, "application/json", MALFORMED),
    "text": (GOOD, "text/plain", (415, "unsupported_media_type")),
    "no type": (GOOD, None, (415, "unsupported_media_type")),
    "too large": (b'"' + b"x" * 300_000 + b'"', "application/json", (413, "body_too_large")),
}


@pytest.mark.parametrize(
    ("content", "content_type", "expected"), BAD_BODIES.values(), ids=BAD_BODIES
)
@pytest.mark.parametrize(("method", "path"), [*(route[:2] for route in ROUTES if route[2]), ASKING])
async def test_a_bad_body_is_refused(
    closed_desk: Desk,
    method: str,
    path: str,
    content: bytes,
    content_type: str | None,
    expected: tuple[int, str],
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    answer = await closed_desk.ask(method, path, content=content, headers=headers)

    assert code_of(answer) == expected


async def test_every_route_with_a_body_is_tried(closed_desk: Desk) -> None:
    paths = closed_desk.service.api.openapi()["paths"]

    # The operator's API is tried where it is written, once for all services.
    with_body = {
        (method.upper(), path.removeprefix("/api/v1").format(sku="lamp", category="light"))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "requestBody" in operation and path.startswith("/api/")
    }
    assert with_body == {*(route[:2] for route in ROUTES if route[2]), ASKING}


FORGED = base64.urlsafe_b64encode(b"s" * 16 + b'["products", "lamp"]').decode()
LISTS = [
    "/products",
    "/categories",
    "/inventory",
    "/inventory/low-stock",
    "/inventory/out-of-stock",
    "/inventory/movements?sku=lamp",
    "/inventory/reservations",
]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=-1", "limit=101", "limit=1000000000", "limit=1e9", "limit=all"),
        *("cursor=forged", f"cursor={FORGED}", "cursor=%E2%82%AC", "cursor=" + "A" * 513),
        "colour=red",
    ],
    ids=lambda query: query[:20],
)
async def test_a_page_that_can_not_be_is_refused(closed_desk: Desk, path: str, query: str) -> None:
    answer = await closed_desk.ask("GET", f"{path}{'&' if '?' in path else '?'}{query}")

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    "sku",
    ["la'mp", "lamp%E2%80%8F", "la%CC%81mp", "%F0%9F%92%A1", "lamp%00", "%1b[31m", "l" * 10_240],
    ids=["quotes", "RTL mark", "combining form", "emoji", "NUL", "ANSI", "10 KB"],
)
@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("GET", "/products/{}", {}),
        ("PATCH", "/products/{}", {"json": {"active": False}}),
        ("DELETE", "/products/{}", {}),
        ("PATCH", "/products/{}/activate", {}),
        ("PATCH", "/products/{}/deactivate", {}),
        ("GET", "/inventory/{}", {}),
        ("GET", "/inventory/movements?sku={}", {}),
    ],
    ids=["product", "change", "removal", "activation", "deactivation", "stock", "movements"],
)
async def test_a_sku_that_is_none_is_refused(
    closed_desk: Desk, method: str, path: str, request_: dict[str, Any], sku: str
) -> None:
    answer = await closed_desk.ask(method, path.format(sku), **request_)

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        *(
            ("GET", path, (422, "validation_failed"))
            for path in (
                "/products?q=",
                "/products?q=%00",
                "/products?q=" + "a" * 201,
                "/products?active=perhaps",
                "/products?availability=some",
                "/products?category=a/b",
                "/products?category=" + "a" * 65,
                "/products?sku=lamp",
                "/categories?name=x",
                "/categories/%00",
                "/categories/Light",
                "/inventory?active=perhaps",
                "/inventory?sku=lamp",
                "/inventory/low-stock?sku=lamp",
                "/inventory/movements?kind=stolen",
                "/inventory/movements?orderId=7",
                "/inventory/movements?since=yesterday",
                "/inventory/movements?until=0",
                "/inventory/movements?since=2026-11-27T00:00:00",
                "/inventory/reservations?orderId=7",
                "/inventory/reservations?state=held",
            )
        ),
        ("GET", "/nowhere", (404, "not_found")),
        ("PUT", "/products", (405, "method_not_allowed")),
        ("PUT", "/products/lamp", (405, "method_not_allowed")),
        ("DELETE", "/inventory/lamp", (405, "method_not_allowed")),
    ],
)
async def test_a_bad_question_is_refused(
    closed_desk: Desk, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert code_of(await closed_desk.ask(method, path)) == expected


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_an_impossible_accept_is_refused(
    closed_desk: Desk, method: str, path: str, body: Any
) -> None:
    request = {} if body is None else {"json": body}

    answer = await closed_desk.ask(method, path, headers={"Accept": "image/png"}, **request)

    assert code_of(answer) == (406, "not_acceptable")


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"stock": 3}, {"active": None}, {"price": {"amount": 1}}, {"name": None}),
        *({"category": None}, {"category": "A"}, {"category": "a", "active": None}),
        *({"allowPartial": 1}, {"sku": "vase"}, {"version": 7}, {"deletedAt": None}),
    ],
)
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
        {"sku": "lamp", "quantity": "1", "reason": "x"},
        {"sku": "lamp", "quantity": True, "reason": "x"},
        {"sku": "lamp", "quantity": 2**63, "reason": "x"},
        {"sku": "lamp", "quantity": -(10**13), "reason": "x"},
        {"sku": "la'mp", "quantity": 1, "reason": "x"},
        {"sku": "lamp", "quantity": 1, "reason": "a\r\nb"},
        {"sku": "lamp", "quantity": 1, "reason": "\x1b[31mred"},
        {"sku": "lamp", "quantity": 1, "reason": "x", "orderId": str(UUID(int=0))},
        {"sku": "lamp", "quantity": 1, "reason": "x", "madeBy": str(UUID(int=0))},
        {"sku": "lamp", "quantity": 1, "reason": "x", "reference": ""},
        {"sku": "lamp", "quantity": 1, "reason": "x", "reference": "a b"},
        {"sku": "lamp", "quantity": 1, "reason": "x", "reference": "é"},
        {"sku": "lamp", "quantity": 1, "reason": "x", "reference": "a" * 65},
        {"sku": "lamp", "quantity": 1, "reason": "x", "reference": 4711},
    ],
    ids=[
        *("nothing", "a float", "too much", "no words", "no reason", "text", "true", "2^63"),
        *("too little", "sku with quotes", "CRLF", "ANSI", "unknown field"),
        *("another author", "empty reference", "reference with a space", "é", "long", "number"),
    ],
)
async def test_a_bad_adjustment_is_refused(closed_desk: Desk, body: dict[str, Any]) -> None:
    answer = await closed_desk.ask("POST", "/inventory/adjustments", json=body)

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/categories"), ("PATCH", "/categories/light")]
)
@pytest.mark.parametrize(
    "category",
    [
        *({}, {"id": "light"}, {"id": "light", "name": ""}, {"id": "light", "name": 1}),
        *({"id": "Light", "name": "x"}, {"id": "li ght", "name": "x"}, {"id": "-", "name": "x"}),
        *({"id": "light", "name": "a\r\nb"}, {"id": "a" * 65, "name": "x"}, [], "light"),
        {"id": "light", "name": "x", "parent": "y"},
    ],
    ids=str,
)
async def test_a_bad_category_is_refused(
    closed_desk: Desk, method: str, path: str, category: Any
) -> None:
    answer = await closed_desk.ask(method, path, json=category)

    assert code_of(answer) == (422, "validation_failed")


ITEM = {"sku": "lamp", "quantity": 1}


@pytest.mark.parametrize(
    "body",
    [
        *({}, [], {"items": []}, {"items": ITEM}, {"items": [ITEM] * 1001}, {"items": [{}]}),
        *({"items": [{**ITEM, "quantity": bad}]} for bad in (0, -1, 1.0, "1", True, 10**6 + 1)),
        *({"items": [{**ITEM, "sku": bad}]} for bad in ("", "la'mp", "l" * 65, None, 7)),
        *({"items": [{**ITEM, "price": 1}]}, {"items": [ITEM], "hold": True}),
    ],
    ids=lambda body: str(body)[:60],
)
async def test_a_bad_question_for_availability_is_refused(closed_desk: Desk, body: Any) -> None:
    answer = await closed_desk.ask(*ASKING, role="customer", json=body)

    assert code_of(answer) == (422, "validation_failed")


async def test_nobody_unknown_asks_for_availability(closed_desk: Desk) -> None:
    answer = await closed_desk.ask(*ASKING, role=None, json={"items": [ITEM]})

    assert code_of(answer) == (401, "unauthenticated")


async def test_a_database_that_is_away_is_said_so(closed_desk: Desk) -> None:
    answer = await closed_desk.ask("GET", "/products")

    assert code_of(answer) == (503, "not_ready")
    assert answer.headers["Retry-After"]
