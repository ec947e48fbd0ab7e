"""Long polls of orders, and how they and live streams end when a process does."""

from __future__ import annotations

import asyncio
import os
import sys

import httpx2
import pytest
from devstack.ports import free_port
from devstack.stack import Stack
from pydantic import SecretStr

from tests.support.live import Ear, LiveShop, ask, cancel, listening, open_live, place, settle
from tests.support.postgres import Databases
from tests.support.shop import API
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


async def test_a_status_that_is_waited_for_comes_when_it_changes(live: LiveShop) -> None:
    customer = live.caller()
    order_id = await place(live, customer)
    clock = asyncio.get_running_loop().time
    began = clock()

    waiting = asyncio.create_task(
        live.http.get(f"/orders/{order_id}/status?wait=30", headers=customer.headers())
    )
    await listening(live, 1)
    await cancel(live, customer, order_id)
    answer = await waiting

    assert answer.json()["status"] == "CANCELLING"
    assert answer.headers["etag"] == '"2"'
    assert clock() - began < 10
    await listening(live, 0)


async def test_a_wait_for_nothing_ends_with_what_was(live: LiveShop) -> None:
    customer = live.caller()
    order_id = await place(live, customer)
    url = f"/orders/{order_id}/status"

    waited = await live.http.get(f"{url}?wait=1", headers=customer.headers())
    etag = waited.headers["etag"]
    known = customer.headers() | {"If-None-Match": etag}
    unchanged = await live.http.get(f"{url}?wait=1", headers=known)
    await cancel(live, customer, order_id)
    outdated = await live.http.get(f"{url}?wait=30", headers=known)

    assert (waited.status_code, waited.json()["status"]) == (200, "PENDING")
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert outdated.json()["status"] == "CANCELLING"


async def test_a_settled_order_is_not_waited_for(live: LiveShop) -> None:
    customer = live.caller()
    order_id = await place(live, customer)
    await cancel(live, customer, order_id)
    await settle(live, order_id)

    answer = await live.http.get(f"/orders/{order_id}/status?wait=30", headers=customer.headers())

    assert answer.json()["terminal"] is True


async def test_a_long_poll_whose_client_left_gives_its_place_back(live: LiveShop) -> None:
    customer = live.caller()
    order_id = await place(live, customer)

    with pytest.raises(httpx2.ReadTimeout):
        await live.http.get(
            f"/orders/{order_id}/status?wait=30", headers=customer.headers(), timeout=0.5
        )

    await listening(live, 0)


@pytest.mark.parametrize("query", ["wait=-1", "wait=31", "wait=x", "wait=1e9", "wait=", "waits=1"])
async def test_waits_that_are_none(live: LiveShop, query: str) -> None:
    customer = live.caller()
    order_id = await place(live, customer)

    answer = await live.http.get(f"/orders/{order_id}/status?{query}", headers=customer.headers())

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_shutting_down_ends_streams_and_takes_no_more(live: LiveShop) -> None:
    customer = live.caller()
    order_id = await place(live, customer)

    async with live.listen(customer, order_id) as ear:
        await ear.hear(1)
        live.stop.set()
        assert await ear.hear_out() == []
    refused = await ask(live, customer, order_id)

    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")


@pytest.mark.slow
async def test_a_process_with_open_streams_stops_at_once(
    stack: Stack, databases: Databases
) -> None:
    port = free_port()
    own = {
        "APP_ENV": "development",
        "JWT_PRIVATE_KEY_FILE": str(stack.signing_key),
        "PORT": str(port),
        "DATABASE_URL": databases.app_dsn("orders"),
        "DB_SCHEMA": "orders",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    }
    command = [sys.executable, "-m", "order_service", "api"]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **own})
    key = SecretStr(stack.signing_key.read_text())
    async with open_live(databases, jwt_private_key=key) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()
        order_id = await place(live, customer)
        url = f"http://127.0.0.1:{port}{API}/orders/{order_id}/events"
        await eventually(lambda: _answers(port))

        async with live.http.stream("GET", url, headers=customer.headers()) as answer:
            ear = Ear(answer)
            await ear.hear(1)
            clock = asyncio.get_running_loop().time
            began = clock()
            process.terminate()
            assert await ear.hear_out() == []
            assert await process.wait() == 0

    assert clock() - began < 5


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
