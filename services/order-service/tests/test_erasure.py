from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from common.message import uuid7
from order_service import handlers

from tests.support.shop import Caller, Shop

pytestmark = pytest.mark.postgres

EMAIL = "ana@example.com"
PASSWORD = "correct horse battery"
OWN = {"email": EMAIL, "password": PASSWORD}


async def enter(shop: Shop, **more: str) -> tuple[Caller, dict[str, Any]]:
    """Register and log in; answers who it is and the account."""
    account = (await shop.http.post("/auth/register", json={**OWN, **more})).json()
    tokens = (await shop.http.post("/auth/login", json=OWN)).json()
    return Caller(account["customerId"], tokens["accessToken"]), account


async def change_me(shop: Shop, who: Caller, **body: object) -> httpx2.Response:
    return await shop.http.patch("/auth/me", json=body, headers=who.headers())


async def erase_me(shop: Shop, who: Caller) -> httpx2.Response:
    return await shop.http.delete("/auth/me", headers=who.headers())


async def test_somebody_changes_their_own_account(shop: Shop) -> None:
    ana, account = await enter(shop)

    answer = await change_me(shop, ana, name="Ana Núñez", language="es")

    assert answer.json() == account | {"name": "Ana Núñez", "language": "es"}
    said = await shop.rows("SELECT header_names, header_values FROM outbox ORDER BY id")
    versions = [dict(zip(row[0], row[1], strict=True))[b"ce_version"] for row in said]
    assert versions == [b"1", b"2"]


async def test_another_password_needs_the_current_one_and_ends_every_session(shop: Shop) -> None:
    ana, _ = await enter(shop)
    session = (await shop.http.post("/auth/login", json=OWN)).json()["refreshToken"]
    new = "an even better password"

    unproved = await change_me(shop, ana, password=new)
    wrong = await change_me(shop, ana, password=new, currentPassword="guessed")
    right = await change_me(shop, ana, password=new, currentPassword=PASSWORD)

    assert (unproved.status_code, wrong.status_code, right.status_code) == (422, 403, 200)
    refreshed = await shop.http.post("/auth/refresh", json={"refreshToken": session})
    assert refreshed.status_code == 401
    assert (await shop.http.post("/auth/login", json=OWN)).status_code == 401
    answer = await shop.http.post("/auth/login", json={**OWN, "password": new})
    assert answer.status_code == 200


async def test_of_two_who_change_a_password_at_once_one_has_no_proof_any_more(shop: Shop) -> None:
    ana, _ = await enter(shop)

    answers = await asyncio.gather(
        *(
            change_me(shop, ana, password=new, currentPassword=PASSWORD)
            for new in ("a" * 12, "b" * 12)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 403]


async def test_another_address_needs_the_password_too(shop: Shop) -> None:
    ana, account = await enter(shop)

    unproved = await change_me(shop, ana, email="new@example.com")
    right = await change_me(shop, ana, email="New@example.com", currentPassword=PASSWORD)

    assert unproved.status_code == 422
    assert right.json() == account | {"email": "new@example.com"}


@pytest.mark.parametrize("body", [{"roles": ["admin"]}, {"active": True}, {"language": None}, {}])
async def test_nobody_gives_themselves_more(shop: Shop, body: dict[str, Any]) -> None:
    ana, _ = await enter(shop)

    assert (await change_me(shop, ana, **body)).status_code == 422


async def test_who_erases_themselves_leaves_an_id_and_a_counter(shop: Shop) -> None:
    ana, _ = await enter(shop, name="Ana Núñez")
    await shop.sell(("TEA", 250))
    await shop.place(ana, ("TEA", 1), key="key of ana@example.com".replace(" ", "-"))

    answer = await erase_me(shop, ana)

    assert (answer.status_code, answer.content) == (204, b"")
    (row,) = await shop.rows("SELECT * FROM customers")
    kept = {name: value for name, value in row.items() if value is not None and value != []}
    assert kept.keys() == {
        "customer_id",
        "active",
        "version",
        "created_at",
        "deleted_at",
        "tombstone_due_at",
    }
    assert (row["active"], row["version"]) == (False, 2)
    assert not await shop.rows("SELECT FROM refresh_tokens")
    assert not await shop.rows("SELECT FROM idempotency_keys")


async def test_an_erasure_withdraws_what_has_not_left_and_leaves_a_tombstone(shop: Shop) -> None:
    ana, account = await enter(shop)

    await erase_me(shop, ana)

    (said,) = await shop.rows("SELECT * FROM outbox WHERE topic = 'customers.v1'")
    headers = dict(zip(said["header_names"], said["header_values"], strict=True))
    assert said["aggregateid"].decode() == account["customerId"]
    assert (said["payload"], headers[b"ce_version"]) == (None, b"2")
    assert headers[b"ce_type"] == b"CustomerChanged"


async def test_an_erasure_is_said_again_a_day_later_and_only_once(shop: Shop) -> None:
    ana, _ = await enter(shop)
    await erase_me(shop, ana)

    async with shop.database.transaction() as tx:
        assert await handlers.erase_again(tx, limit=10) == 0
        await tx.execute("UPDATE customers SET tombstone_due_at = now()")
        assert await handlers.erase_again(tx, limit=10) == 1
        assert await handlers.erase_again(tx, limit=10) == 0

    said = await shop.rows("SELECT * FROM outbox WHERE topic = 'customers.v1' ORDER BY id")
    versions = [dict(zip(row["header_names"], row["header_values"], strict=True)) for row in said]
    assert [each[b"ce_version"] for each in versions] == [b"2", b"3"]
    assert [row["payload"] for row in said] == [None, None]


async def test_the_address_is_free_again_for_somebody_new(shop: Shop) -> None:
    ana, account = await enter(shop)
    await erase_me(shop, ana)

    _, other = await enter(shop)

    assert other["customerId"] != account["customerId"]


async def test_a_token_outlives_its_account_and_opens_nothing(shop: Shop) -> None:
    ana, _ = await enter(shop)
    await shop.sell(("TEA", 250))
    await erase_me(shop, ana)

    answers = [
        await erase_me(shop, ana),
        await change_me(shop, ana, name="Ana"),
        await shop.http.get("/auth/me", headers=ana.headers()),
        await shop.place(ana, ("TEA", 1)),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 401]
    assert not await shop.rows("SELECT FROM orders")


async def test_a_token_that_never_had_an_account_opens_no_account(shop: Shop) -> None:
    stranger = shop.caller()

    assert (await erase_me(shop, stranger)).status_code == 401
    assert (await change_me(shop, stranger, name="X")).status_code == 401


async def test_an_admin_who_is_the_last_can_not_leave(shop: Shop) -> None:
    headers = shop.caller("admin").headers()
    await shop.http.post("/users", json={**OWN, "roles": ["admin"]}, headers=headers)
    tokens = (await shop.http.post("/auth/login", json=OWN)).json()

    answer = await erase_me(shop, Caller(uuid7(), tokens["accessToken"]))

    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
