"""The table's rows that hold on every route: bodies, their type, what can be sent back, ids."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from common.problem import MEDIA_TYPE

from tests.support.shop import API, Caller, Shop

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

ORDERS, SAGAS, ID, USER = f"{API}/orders", "/ops/v1/sagas", "{order_id}", "{user_id}"
PENNY = {"amount": 1, "currency": "GBP"}
LOGIN = {"email": "ana@example.org", "password": "correct horse battery"}
REFRESH = {"refreshToken": "a" * 43}

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", ORDERS): {"items": [{"sku": "TEA", "quantity": 1}]},
    ("POST", f"{ORDERS}/{ID}/cancel"): {},
    ("POST", f"{ORDERS}/{ID}/refunds"): {"amount": PENNY, "reason": "x"},
    ("POST", f"{ORDERS}/{ID}/decision"): {"choice": "cancel"},
    ("POST", f"{API}/auth/register"): LOGIN,
    ("POST", f"{API}/auth/login"): LOGIN,
    ("POST", f"{API}/auth/refresh"): REFRESH,
    ("POST", f"{API}/auth/logout"): REFRESH,
    ("PATCH", f"{API}/auth/me"): {"name": "Ana"},
    ("POST", f"{API}/users"): LOGIN,
    ("PATCH", f"{API}/users/{USER}"): {"name": "Ana"},
    ("POST", f"{SAGAS}/{ID}/retry"): {},
    ("POST", f"{SAGAS}/{ID}/force"): {"note": "x"},
    ("POST", f"{SAGAS}/{ID}/resolve"): {"note": "x", "settled": ["stock", "money"]},
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
    *(route for route in BODIES if ID in route[1]),
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
    url = f"http://pedido{path.replace(ID, str(uuid4())).replace(USER, str(uuid4()))}"
    headers = caller.headers() | request.pop("headers", {})
    return await shop.http.request(method, url, headers=headers, **request)


def assert_refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE


async def test_no_route_is_left_out_below(stocked: Shop) -> None:
    routes = routes_of(stocked)

    assert {route for route, told in routes.items() if "requestBody" in told} == set(BODIES)
    assert {route for route in routes if ID in route[1]} == set(OF_AN_ORDER)


@pytest.mark.parametrize(("method", "path"), BODIES)
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
    method: str,
    path: str,
    content: bytes,
    kind: str | None,
    status: int,
    code: str,
) -> None:
    headers = {"Content-Type": kind} if kind else {}

    answer = await ask(stocked, anybody, method, path, content=content, headers=headers)

    assert_refused(answer, status, code)


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("field", ["status", "price", "user_id"])
async def test_bodies_that_say_more_than_may_be_said(
    stocked: Shop, anybody: Caller, method: str, path: str, field: str
) -> None:
    body = BODIES[method, path] | {field: "x"}

    answer = await ask(stocked, anybody, method, path, json=body)

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
    body = {"json": BODIES[method, path]} if (method, path) in BODIES else {}

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
