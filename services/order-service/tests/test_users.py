from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.support.shop import Shop

pytestmark = pytest.mark.postgres

PASSWORD = "correct horse battery"
Ask = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
def admin(shop: Shop) -> Ask:
    """Ask as an admin who has no row of their own."""
    headers = shop.caller("admin").headers()

    async def ask(method: str, path: str = "", **request: Any) -> httpx2.Response:
        return await shop.http.request(method, f"/users{path}", headers=headers, **request)

    return ask


async def add(admin: Ask, name: str = "ana", **fields: object) -> dict[str, Any]:
    body = {"email": f"{name}@example.com", "password": PASSWORD, **fields}
    answer = await admin("POST", json=body)
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json()
    return user


async def log_in(shop: Shop, name: str = "ana", password: str = PASSWORD) -> httpx2.Response:
    body = {"email": f"{name}@example.com", "password": password}
    return await shop.http.post("/auth/login", json=body)


async def refresh(shop: Shop, tokens: httpx2.Response) -> int:
    body = {"refreshToken": tokens.json()["refreshToken"]}
    return (await shop.http.post("/auth/refresh", json=body)).status_code


async def test_an_admin_makes_an_account_with_roles(shop: Shop, admin: Ask) -> None:
    body = {"email": "Ana@Example.com", "password": PASSWORD, "roles": ["staff", "operator"]}

    answer = await admin("POST", json=body)

    user = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/users/{user['customerId']}"
    assert (user["email"], user["roles"], user["active"]) == (
        "ana@example.com",
        ["operator", "staff"],
        True,
    )
    assert (await admin("GET", f"/{user['customerId']}")).json() == user
    assert (await log_in(shop)).status_code == 200
    (said,) = await shop.rows("SELECT type FROM outbox")
    assert said["type"] == "CustomerChanged"


async def test_what_admins_do_is_written_down(shop: Shop, admin: Ask) -> None:
    user = await add(admin)
    await admin("PATCH", f"/{user['customerId']}", json={"active": False})
    await admin("PATCH", f"/{user['customerId']}/activate")
    await admin("DELETE", f"/{user['customerId']}")

    acts = await shop.rows("SELECT action, target FROM ops_audit ORDER BY id")

    assert [act["action"] for act in acts] == [
        "user add",
        "user change",
        "user activate",
        "user erase",
    ]
    assert {act["target"] for act in acts} == {user["customerId"]}


@pytest.mark.parametrize("role", ["customer", "staff", "operator"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/{id}"),
        ("PATCH", "/{id}"),
        ("DELETE", "/{id}"),
        ("PATCH", "/{id}/activate"),
    ],
)
async def test_only_admins_administer(
    shop: Shop, admin: Ask, role: str, method: str, path: str
) -> None:
    user = await add(admin)
    url = f"/users{path.format(id=user['customerId'])}"
    body = {"email": "b@example.com", "password": PASSWORD} if method == "POST" else {"name": "B"}
    sent = {"json": body} if method in {"POST", "PATCH"} and "activate" not in path else {}

    answer = await shop.http.request(method, url, headers=shop.caller(role).headers(), **sent)
    nobody = await shop.http.request(method, url, **sent)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert nobody.status_code == 401
    assert (await admin("GET", f"/{user['customerId']}")).json() == user


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("PATCH", "/activate")]
)
@pytest.mark.parametrize("erased", [True, False], ids=["erased", "never there"])
async def test_what_is_not_there_is_not_found(
    admin: Ask, method: str, path: str, *, erased: bool
) -> None:
    user_id = uuid4()
    if erased:
        user_id = (await add(admin))["customerId"]
        await admin("DELETE", f"/{user_id}")
    sent = {"json": {"name": "B"}} if (method, path) == ("PATCH", "") else {}

    answer = await admin(method, f"/{user_id}{path}", **sent)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await admin(method, f"/nobody{path}", **sent)).status_code == 422


async def test_accounts_are_listed_in_pages_newest_first(admin: Ask) -> None:
    made = [await add(admin, f"u{number}") for number in range(5)]
    await admin("DELETE", f"/{made[2]['customerId']}")

    first = (await admin("GET", "?limit=3")).json()
    second = (await admin("GET", f"?limit=3&cursor={first['nextCursor']}")).json()

    assert first["data"] + second["data"] == [made[4], made[3], made[1], made[0]]
    assert second["nextCursor"] is None


async def test_accounts_are_found_by_role_address_and_whether_they_are_active(admin: Ask) -> None:
    ana, ben = await add(admin, "ana", roles=["staff", "customer"]), await add(admin, "ben")
    await admin("PATCH", f"/{ben['customerId']}", json={"active": False})

    async def found(query: str) -> list[str]:
        page = (await admin("GET", f"?{query}")).json()
        return [user["customerId"] for user in page["data"]]

    assert await found("role=staff") == [ana["customerId"]]
    assert await found("active=false") == [ben["customerId"]]
    assert await found("email=ANA%40example.com") == [ana["customerId"]]
    assert await found("role=admin") == []


@pytest.mark.parametrize(
    "query",
    ["role=root", "active=perhaps", "email=%00", "limit=0", "cursor=AAAA", "name=x", "id=1"],
)
async def test_a_list_that_is_none_is_refused(admin: Ask, query: str) -> None:
    answer = await admin("GET", f"?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_another_lists_cursor_is_no_cursor(shop: Shop, admin: Ask) -> None:
    await shop.sell(*((f"P{number}", 1) for number in range(3)))
    cursor = (await shop.http.get("/products?limit=1")).json()["nextCursor"]

    assert (await admin("GET", f"?cursor={cursor}")).status_code == 422


async def test_a_change_touches_what_it_names_and_is_announced_if_others_know_it(
    shop: Shop, admin: Ask
) -> None:
    user = await add(admin, "ana", language="es")
    path = f"/{user['customerId']}"

    renamed = (await admin("PATCH", path, json={"name": "Ana Núñez"})).json()
    promoted = (await admin("PATCH", path, json={"roles": ["staff", "admin"]})).json()
    moved = (await admin("PATCH", path, json={"email": "New@Example.com"})).json()

    assert renamed == user | {"name": "Ana Núñez"}
    assert promoted == renamed | {"roles": ["admin", "staff"]}
    assert moved == promoted | {"email": "new@example.com"}
    assert len(await shop.rows("SELECT FROM outbox")) == 3  # roles are nobody else's business
    assert (await log_in(shop, "new")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": None},
        {"active": None},
        {"active": 0},
        {"roles": []},
        {"roles": ["root"]},
        {"roles": ["staff", "staff"]},
        {"roles": "admin"},
        {"password": "short"},
        {"name": "a\x1b[31m"},
        {"language": "tlh-KLINGON"},
        {"version": 7},
        {"createdAt": "2020-01-01T00:00:00Z"},
        {"currentPassword": PASSWORD},
    ],
    ids=str,
)
async def test_what_is_no_change_is_refused(admin: Ask, body: dict[str, Any]) -> None:
    user = await add(admin)

    answer = await admin("PATCH", f"/{user['customerId']}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert (await admin("GET", f"/{user['customerId']}")).json() == user


async def test_an_address_is_taken_however_it_is_asked_for(admin: Ask) -> None:
    await add(admin, "ana")
    ben = await add(admin, "ben")

    made = await admin("POST", json={"email": "ANA@example.com", "password": PASSWORD})
    moved = await admin("PATCH", f"/{ben['customerId']}", json={"email": "ANA@example.com"})

    assert {(answer.status_code, answer.json()["code"]) for answer in (made, moved)} == {
        (409, "email_taken")
    }


async def test_who_is_switched_off_is_out_until_switched_on(shop: Shop, admin: Ask) -> None:
    user = await add(admin)
    tokens = await log_in(shop)
    own = {"Authorization": f"Bearer {tokens.json()['accessToken']}"}

    off = await admin("PATCH", f"/{user['customerId']}", json={"active": False})

    assert off.json()["active"] is False
    assert (await log_in(shop)).status_code == 401
    assert (await log_in(shop)).json()["detail"] == (await log_in(shop, "nobody")).json()["detail"]
    assert await refresh(shop, tokens) == 401
    assert (await shop.http.get("/auth/me", headers=own)).status_code == 401

    on = [await admin("PATCH", f"/{user['customerId']}/activate") for _ in range(2)]

    assert [answer.json() for answer in on] == [user, user]
    assert await refresh(shop, tokens) == 401  # sessions that ended stay so
    assert (await log_in(shop)).status_code == 200


async def test_an_order_needs_an_account_that_is_on(shop: Shop, admin: Ask) -> None:
    await shop.sell(("TEA", 250))
    user = await add(admin)
    token = (await log_in(shop)).json()["accessToken"]
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    body = {"items": [{"sku": "TEA", "quantity": 1}]}
    await admin("PATCH", f"/{user['customerId']}", json={"active": False})

    refused = await shop.http.post("/orders", json=body, headers=headers)
    await admin("PATCH", f"/{user['customerId']}/activate")
    placed = await shop.http.post("/orders", json=body, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert placed.status_code == 202


async def test_an_admin_resets_a_password(shop: Shop, admin: Ask) -> None:
    user = await add(admin)
    tokens = await log_in(shop)

    path = f"/{user['customerId']}"
    answer = await admin("PATCH", path, json={"password": "another one altogether"})

    assert answer.status_code == 200
    assert "password" not in answer.text
    assert await refresh(shop, tokens) == 401
    assert (await log_in(shop)).status_code == 401
    assert (await log_in(shop, password="another one altogether")).status_code == 200


@pytest.mark.parametrize(
    ("method", "sent"),
    [("PATCH", {"active": False}), ("PATCH", {"roles": ["staff"]}), ("DELETE", None)],
    ids=["switched off", "demoted", "erased"],
)
async def test_the_last_active_admin_stays_one(
    admin: Ask, method: str, sent: dict[str, Any] | None
) -> None:
    last = await add(admin, "ana", roles=["admin"])
    other = await add(admin, "ben", roles=["admin"])
    await admin("PATCH", f"/{other['customerId']}", json={"active": False})
    request = {"json": sent} if sent else {}

    refused = await admin(method, f"/{last['customerId']}", **request)
    await admin("PATCH", f"/{other['customerId']}/activate")
    taken = await admin(method, f"/{last['customerId']}", **request)

    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    assert taken.status_code in {200, 204}


async def test_of_two_admins_who_demote_each_other_one_stays(admin: Ask) -> None:
    both = [await add(admin, name, roles=["admin"]) for name in ("ana", "ben")]

    answers = await asyncio.gather(
        *(admin("PATCH", f"/{one['customerId']}", json={"roles": ["staff"]}) for one in both)
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len((await admin("GET", "?role=admin")).json()["data"]) == 1
