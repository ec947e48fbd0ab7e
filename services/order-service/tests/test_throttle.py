from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest
import pytest_asyncio
from common.limits import Policy
from common.settings import Rate
from order_service.api.throttle import Throttle

from tests.support.shop import API, Shop

pytestmark = pytest.mark.postgres

EMAIL, PASSWORD = "ana@example.com", "correct horse battery"
HOUR = 3600


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """Let through three tries an account, five an address, two registrations."""
    throttle = Throttle(
        b"secret",
        by_account=Policy("login-account", Rate(3, HOUR)),
        by_address=Policy("login-address", Rate(5, HOUR)),
        registering=Policy("register-address", Rate(2, HOUR)),
    )
    shop.app.state.parts = replace(shop.app.state.parts, throttle=throttle)
    return shop


@pytest_asyncio.fixture
async def elsewhere(shop: Shop) -> AsyncIterator[httpx2.AsyncClient]:
    """Call from another address."""
    transport = httpx2.ASGITransport(app=shop.app, client=("192.0.2.7", 1234))
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://pedido{API}") as http:
        yield http


async def log_in(
    http: httpx2.AsyncClient, email: str = EMAIL, password: str = PASSWORD
) -> httpx2.Response:
    return await http.post("/auth/login", json={"email": email, "password": password})


async def register(shop: Shop, email: str = EMAIL) -> httpx2.Response:
    return await shop.http.post("/auth/register", json={"email": email, "password": PASSWORD})


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"], ids=["known", "unknown"])
async def test_guessing_ends_alike_whether_the_account_is_there_or_not(
    shop: Shop, email: str
) -> None:
    await register(shop)

    answers = [await log_in(shop.http, email, "a wrong password") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= HOUR / 3


async def test_not_even_the_right_password_helps_who_guessed_too_often(shop: Shop) -> None:
    await register(shop)
    for case in (EMAIL, EMAIL.upper(), EMAIL.title()):
        await log_in(shop.http, case, "a wrong password")

    assert (await log_in(shop.http)).status_code == 429


async def test_one_account_is_guessed_no_more_often_from_two_addresses(
    shop: Shop, elsewhere: httpx2.AsyncClient
) -> None:
    tries = [await log_in(http) for http in (shop.http, elsewhere, shop.http, elsewhere)]

    assert [answer.status_code for answer in tries] == [401, 401, 401, 429]


async def test_one_address_may_not_try_many_accounts(
    shop: Shop, elsewhere: httpx2.AsyncClient
) -> None:
    tries = [await log_in(shop.http, f"user{number}@example.com") for number in range(6)]

    assert [answer.status_code for answer in tries] == [401] * 5 + [429]
    assert (await log_in(elsewhere, "user9@example.com")).status_code == 401


async def test_parallel_tries_are_counted_one_by_one(shop: Shop) -> None:
    tries = await asyncio.gather(*(log_in(shop.http) for _ in range(5)))

    assert sorted(answer.status_code for answer in tries) == [401, 401, 401, 429, 429]


async def test_registering_is_limited_too_and_tells_nothing_of_who_is_there(shop: Shop) -> None:
    answers = [await register(shop) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [201, 409, 429, 429]


async def test_a_stolen_token_does_not_guess_the_password(shop: Shop) -> None:
    await register(shop)
    token = (await log_in(shop.http)).json()["accessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"email": "thief@example.com", "currentPassword": "a guess"}

    tries = [await shop.http.patch("/auth/me", json=body, headers=headers) for _ in range(4)]

    assert [answer.status_code for answer in tries] == [403, 403, 403, 429]
