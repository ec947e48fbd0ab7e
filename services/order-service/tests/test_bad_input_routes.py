"""The table's rows that hold on every route: bodies, their type, what can be sent back, ids."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from common.problem import MEDIA_TYPE

from tests.support.shop import API, Caller, Shop

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

ORDERS, SAGAS, ID = f"{API}/orders", "/ops/v1/sagas", "{order_id}"
LOGIN = {"email": "ana@example.org", "password": "correct horse battery"}
REFRESH = {"refreshToken": "a" * 43}

BODIES: dict[str, dict[str, Any]] = {
    ORDERS: {"items": [{"sku": "TEA", "quantity": 1}]},
    f"{ORDERS}/{ID}/cancel": {},
    f"{ORDERS}/{ID}/refunds": {"amount": {"amount": 1, "currency": "GBP"}, "reason": "x"},
    f"{ORDERS}/{ID}/decision": {"choice": "cancel"},
    f"{API}/auth/register": LOGIN,
    f"{API}/auth/login": LOGIN,
    f"{API}/auth/refresh": REFRESH,
    f"{API}/auth/logout": REFRESH,
    f"{SAGAS}/{ID}/retry": {},
    f"{SAGAS}/{ID}/force": {"note": "x"},
    f"{SAGAS}/{ID}/resolve": {"note": "x", "settled": ["stock", "money"]},
}
"""Every route that takes a body, and a good one."""

OF_AN_ORDER = [
    ("GET", f"{ORDERS}/{ID}"),
    ("GET", f"{ORDERS}/{ID}/status"),
    ("GET", f"{ORDERS}/{ID}/events"),
    ("GET", f"{ORDERS}/{ID}/timeline"),
    ("GET", f"{SAGAS}/{ID}"),
    ("GET", f"{ORDERS}/{ID}/refunds"),
    ("GET", f"{ORDERS}/{ID}/refunds/{{refund_id}}"),
    ("POST", f"{ORDERS}/{ID}/ship"),
    ("POST", f"{ORDERS}/{ID}/deliver"),
    *(("POST", path) for path in BODIES if ID in path),
]
"""Every route with an order's id in its path."""


@pytest.fixture
def anybody(stocked: Shop) -> Caller:
    return stocked.caller("customer", "staff", "admin", "operator")


def routes_of(shop: Shop) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, operations in shop.app.openapi()["paths"].items()
        if not path.startswith("/ops/") or path.startswith(SAGAS)  # the rest is tried in common
        for method, operation in operations.items()
    }


async def ask(
    shop: Shop, caller: Caller, method: str, path: str, **request: Any
) -> httpx2.Response:
    url = f"http://pedido{path.replace(ID, str(uuid4()))}"
    headers = caller.headers() | request.pop("headers", {})
    return await shop.http.request(method, url, headers=headers, **request)


def assert_refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE


async def test_no_route_is_left_out_below(stocked: Shop) -> None:
    routes = routes_of(stocked)

    assert {path for (_, path), route in routes.items() if "requestBody" in route} == set(BODIES)
    assert {route for route in routes if ID in route[1]} == set(OF_AN_ORDER)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", None, 415, "unsupported_media_type"),
        (b" " * (256 * 1024 + 1), "application/json", 413, "body_too_large"),
    ],
    ids=["not JSON", "text", "no type", "too large"],
)
async def test_bodies_that_are_none(
    stocked: Shop,
    anybody: Caller,
    path: str,
    content: bytes,
    kind: str | None,
    status: int,
    code: str,
) -> None:
    headers = {"Content-Type": kind} if kind else {}

    answer = await ask(stocked, anybody, "POST", path, content=content, headers=headers)

    assert_refused(answer, status, code)


@pytest.mark.parametrize(("path", "body"), BODIES.items(), ids=BODIES)
@pytest.mark.parametrize("field", ["status", "price", "user_id"])
async def test_bodies_that_say_more_than_may_be_said(
    stocked: Shop, anybody: Caller, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await ask(stocked, anybody, "POST", path, json=body | {field: "x"})

    assert_refused(answer, 422, "validation_failed")
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == (f"/{field}", "extra_forbidden")


@pytest.mark.parametrize(("method", "path"), OF_AN_ORDER)
@pytest.mark.parametrize(
    "order_id",
    ["42", "x" * 300, "%00", "%1b[31m", "%0d%0aX-Evil: 1", "' OR 1=1 --", f"{uuid4()}0"],
    ids=["number", "long", "NUL", "ANSI", "CRLF", "quotes", "a digit more"],
)
async def test_order_ids_that_are_none(
    stocked: Shop, anybody: Caller, method: str, path: str, order_id: str
) -> None:
    body = {"json": BODIES[path]} if path in BODIES else {}

    answer = await ask(stocked, anybody, method, path.replace(ID, order_id), **body)

    assert_refused(answer, 422, "validation_failed")


@pytest.mark.parametrize(
    "sku",
    ["la'mp", "TE%E2%80%8FA", "TE%CC%81A", "TEA%F0%9F%AB%96", "T%00", "%1b[31m", "T" * 10_240],
    ids=["quotes", "RTL mark", "combining form", "emoji", "NUL", "ANSI", "10 KB"],
)
async def test_skus_to_look_up_that_are_none(stocked: Shop, sku: str) -> None:
    assert_refused(await stocked.http.get(f"/products/{sku}"), 422, "validation_failed")


async def test_an_impossible_accept_everywhere(stocked: Shop, anybody: Caller) -> None:
    probes = f"{API}/health"  # a load balancer asks as it likes
    for method, path in (route for route in routes_of(stocked) if not route[1].startswith(probes)):
        answer = await ask(stocked, anybody, method, path, headers={"Accept": "image/png"})

        assert_refused(answer, 406, "not_acceptable")


async def test_a_method_that_no_route_has(stocked: Shop, anybody: Caller) -> None:
    for _, path in routes_of(stocked):
        for method in ("PUT", "TRACE", "BREW"):
            answer = await ask(stocked, anybody, method, path)

            assert_refused(answer, 405, "method_not_allowed")
