from __future__ import annotations

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import argon2
import httpx2
import pytest
from common.errors import Refusal, Unavailable
from order_service.accounts import Passwords, Session, Sessions
from order_service.domain.accounts import Customer
from order_service.store.accounts import Credentials

from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

EMAIL = "ana@example.com"
PASSWORD = "correct horse battery"


async def register(shop: Shop, **changes: object) -> httpx2.Response:
    return await shop.http.post(
        "/auth/register", json={"email": EMAIL, "password": PASSWORD, **changes}
    )


async def log_in(shop: Shop, **changes: object) -> httpx2.Response:
    return await shop.http.post(
        "/auth/login", json={"email": EMAIL, "password": PASSWORD, **changes}
    )


async def refresh(shop: Shop, token: str, client: str = "phone") -> httpx2.Response:
    return await shop.http.post(
        "/auth/refresh", json={"refreshToken": token}, headers={"User-Agent": client}
    )


async def test_an_account_is_stored_and_announced_together(shop: Shop) -> None:
    answer = await register(shop, email="Ana@Example.com", name="Ana Núñez", language="es")

    account = answer.json()
    assert answer.status_code == 201
    assert account | {"customerId": "", "createdAt": ""} == {
        "customerId": "",
        "email": EMAIL,
        "name": "Ana Núñez",
        "language": "es",
        "roles": ["customer"],
        "createdAt": "",
    }
    (said,) = await shop.rows("SELECT topic, type, aggregateid, header_names FROM outbox")
    assert (said["topic"], said["type"]) == ("customers.v1", "CustomerChanged")
    assert said["aggregateid"].decode() == account["customerId"]
    assert b"ce_version" in said["header_names"]


async def test_an_address_has_one_account_however_it_is_written(shop: Shop) -> None:
    await register(shop)

    answer = await register(shop, email=EMAIL.upper())

    assert answer.status_code == 409
    assert answer.json()["code"] == "email_taken"
    assert len(await shop.rows("SELECT FROM outbox")) == 1


async def test_two_at_once_with_one_address_make_one_account(shop: Shop) -> None:
    answers = await asyncio.gather(register(shop), register(shop))

    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_passwords_are_stored_as_owasp_wants_them(shop: Shop) -> None:
    await register(shop)

    (row,) = await shop.rows("SELECT password_hash FROM customers")

    found = argon2.extract_parameters(row["password_hash"])
    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (
        argon2.Type.ID,
        19456,
        2,
        1,
    )


async def test_who_logs_in_can_see_their_account(shop: Shop) -> None:
    registered = (await register(shop)).json()

    tokens = (await log_in(shop, email=EMAIL.upper())).json()
    me = await shop.http.get(
        "/auth/me", headers={"Authorization": f"Bearer {tokens['accessToken']}"}
    )

    assert me.json() == registered
    assert tokens.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert (tokens["tokenType"], tokens["expiresIn"]) == ("Bearer", 900)


async def test_a_wrong_password_and_an_unknown_address_are_told_alike(shop: Shop) -> None:
    await register(shop)

    wrong = await log_in(shop, password="not my password")
    unknown = await log_in(shop, email="nobody@example.com")

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    varying = {"traceId", "instance"}
    assert {k: v for k, v in wrong.json().items() if k not in varying} == {
        k: v for k, v in unknown.json().items() if k not in varying
    }


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"], ids=["known", "unknown"])
async def test_a_refused_login_costs_one_verification_whoever_it_names(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    await register(shop)
    checked: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(hasher: argon2.PasswordHasher, stored: str, password: str) -> bool:
        checked.append(stored)
        return verify(hasher, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)

    assert (await log_in(shop, email=email, password="not my password")).status_code == 401
    (stored,) = checked
    found = argon2.extract_parameters(stored)
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19456, 2, 1)


async def test_a_failed_login_is_logged_by_id_and_without_the_address(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    account = (await register(shop)).json()

    await log_in(shop, password="not my password")
    await log_in(shop, email="nobody@example.com")

    known, unknown = [
        line for line in capsys.readouterr().out.splitlines() if "login failed" in line
    ]
    assert account["customerId"] in known
    assert "@" not in known + unknown
    assert "user_id=None" in unknown


async def test_a_token_used_twice_is_logged(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    account = (await register(shop)).json()
    first = (await log_in(shop)).json()["refreshToken"]
    await refresh(shop, first, "phone")

    await refresh(shop, first, "thief")

    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if "refresh token used twice" in line
    ]
    assert account["customerId"] in line
    assert first not in line


async def test_a_weaker_hash_is_replaced_at_the_next_login(shop: Shop) -> None:
    await register(shop)
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    async with shop.database.transaction() as tx:
        await tx.execute("UPDATE customers SET password_hash = $1", weak)

    first = await asyncio.gather(log_in(shop), log_in(shop))
    second = await log_in(shop)

    (row,) = await shop.rows("SELECT password_hash FROM customers")
    assert {answer.status_code for answer in first} <= {200, 401}  # proven by the weak one: again
    assert second.status_code == 200
    assert argon2.extract_parameters(row["password_hash"]).memory_cost == 19456


async def test_more_logins_than_can_be_hashed_are_told_to_come_back() -> None:
    passwords = Passwords()
    passwords._hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

    answers = await asyncio.gather(
        *(passwords.hash(PASSWORD) for _ in range(80)), return_exceptions=True
    )

    told = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(told) == 16
    assert {answer.code for answer in told} == {"overloaded"}


async def test_hashing_comes_after_whoever_else_wants_the_core() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await Passwords()._run(niceness) == min(19, niceness() + 10)


async def test_hashing_leaves_the_event_loop_free() -> None:
    passwords = Passwords()
    hashing = asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(4)))

    turns = 0
    while not hashing.done() and turns < 100:
        await asyncio.sleep(0)
        turns += 1

    assert turns == 100
    await hashing  # with the loop at rest, which comes first


async def test_a_refresh_token_works_once(shop: Shop) -> None:
    await register(shop)
    first = (await log_in(shop)).json()["refreshToken"]

    second = (await refresh(shop, first)).json()["refreshToken"]
    third = await refresh(shop, second)

    assert len({first, second, third.json()["refreshToken"]}) == 3
    assert third.status_code == 200


async def test_refresh_tokens_are_stored_as_hashes(shop: Shop) -> None:
    await register(shop)
    token = (await log_in(shop)).json()["refreshToken"]

    (row,) = await shop.rows("SELECT t::text AS everything FROM refresh_tokens t")

    assert token not in row["everything"]
    assert token.encode().hex() not in row["everything"]


async def test_two_refreshes_at_once_by_one_client_get_the_same_token(shop: Shop) -> None:
    await register(shop)
    token = (await log_in(shop)).json()["refreshToken"]

    answers = await asyncio.gather(refresh(shop, token), refresh(shop, token))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({answer.json()["refreshToken"] for answer in answers}) == 1
    assert (await refresh(shop, answers[0].json()["refreshToken"])).status_code == 200


async def test_a_token_used_again_by_another_client_ends_the_family(shop: Shop) -> None:
    await register(shop)
    first = (await log_in(shop)).json()["refreshToken"]
    second = (await refresh(shop, first, "phone")).json()["refreshToken"]

    stolen = await refresh(shop, first, "thief")

    assert stolen.status_code == 401
    assert (await refresh(shop, second, "phone")).status_code == 401


async def test_a_token_used_again_too_late_ends_the_family(shop: Shop) -> None:
    await register(shop)
    first = (await log_in(shop)).json()["refreshToken"]
    second = (await refresh(shop, first)).json()["refreshToken"]
    async with shop.database.transaction() as tx:
        await tx.execute("UPDATE refresh_tokens SET used_at = used_at - interval '11 seconds'")

    late = await refresh(shop, first)

    assert late.status_code == 401
    assert (await refresh(shop, second)).status_code == 401


async def test_another_login_survives_the_end_of_a_family(shop: Shop) -> None:
    await register(shop)
    first, other = [(await log_in(shop)).json()["refreshToken"] for _ in range(2)]
    await refresh(shop, first, "phone")
    await refresh(shop, first, "thief")

    assert (await refresh(shop, other)).status_code == 200


async def test_log_out_ends_the_session_and_may_be_repeated(shop: Shop) -> None:
    await register(shop)
    first = (await log_in(shop)).json()["refreshToken"]
    second = (await refresh(shop, first)).json()["refreshToken"]

    answers = [
        await shop.http.post("/auth/logout", json={"refreshToken": token})
        for token in (second, second, "never issued")
    ]

    assert [answer.status_code for answer in answers] == [204, 204, 204]
    assert (await refresh(shop, second)).status_code == 401


async def test_a_refresh_token_ends_by_itself(shop: Shop) -> None:
    await register(shop)
    token = (await log_in(shop)).json()["refreshToken"]
    async with shop.database.transaction() as tx:
        await tx.execute("UPDATE refresh_tokens SET expires_at = now()")

    assert (await refresh(shop, token)).status_code == 401


async def test_a_removed_account_is_shut_out(shop: Shop) -> None:
    await register(shop)
    tokens = (await log_in(shop)).json()
    async with shop.database.transaction() as tx:
        await tx.execute(
            "UPDATE customers SET deleted_at = now(), email = NULL, name = NULL, language = NULL, "
            "password_hash = NULL"
        )

    me = await shop.http.get(
        "/auth/me", headers={"Authorization": f"Bearer {tokens['accessToken']}"}
    )

    assert me.status_code == 401
    assert (await refresh(shop, tokens["refreshToken"])).status_code == 401
    assert (await log_in(shop)).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "no at sign"},
        {"email": "a@b"},
        {"email": 'a"b@example.com'},
        {"email": "a@example.com\r\nBcc: everyone@example.com"},
        {"email": "a" * 65 + "@example.com"},
        {"password": "eleven char"},
        {"password": "x" * 129},
        {"password": 123456789012},
        {"name": ""},
        {"name": "Ana\r\nInjected: yes"},
        {"name": "\x1b[31mred"},
        {"language": "Spanish"},
        {"roles": ["admin"]},
        {"customerId": "0"},
    ],
    ids=lambda changes: " ".join(f"{name} {str(value)[:12]!r}" for name, value in changes.items()),
)
async def test_what_is_no_account_is_refused(shop: Shop, changes: dict[str, Any]) -> None:
    answer = await register(shop, **changes)

    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_failed"
    assert not await shop.rows("SELECT FROM customers")


def test_credentials_do_not_show_the_hash() -> None:
    assert "secret" not in repr(credentials("secret"))


def credentials(password_hash: str) -> Credentials:
    customer = Customer(UUID(int=1), EMAIL, None, "en", ("customer",), datetime.now(UTC))
    return Credentials(customer, password_hash)


async def test_a_new_password_ends_a_session_that_is_being_refreshed(shop: Shop) -> None:
    await register(shop)
    session = (await log_in(shop)).json()
    sessions = Sessions(secret=b"s" * 32, life=timedelta(days=7))
    changes = {"password": "another horse battery", "currentPassword": PASSWORD}
    headers = {"Authorization": f"Bearer {session['accessToken']}"}

    async with shop.database.transaction() as tx:
        refreshed = await sessions.rotate(tx, session["refreshToken"], client="thief")
        assert isinstance(refreshed, Session)
        changing = asyncio.create_task(shop.http.patch("/auth/me", json=changes, headers=headers))
        await eventually(lambda: _somebody_waits(shop))
    assert (await changing).status_code == 200

    async with shop.database.transaction() as tx:
        again = await sessions.rotate(tx, refreshed.refresh_token, client="thief")
    assert isinstance(again, Refusal)


async def _somebody_waits(shop: Shop) -> int:
    return len(
        await shop.rows(
            "SELECT FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    )
