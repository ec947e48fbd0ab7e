"""A client in doubt sends the same request again and again, to two processes: it counts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from devstack.deployment import Deployment
from devstack.ports import LOCALHOST, free_port
from devstack.stack import Stack
from pydantic import SecretStr

from tests.support.postgres import Databases

pytestmark = [pytest.mark.saga, pytest.mark.timeout(180)]

TIMES = 100
API = "/api/v1"


@dataclass
class Pair:
    """Two processes of order-service behind no load balancer, and their database."""

    clients: tuple[httpx2.AsyncClient, httpx2.AsyncClient]
    db: asyncpg.Connection[asyncpg.Record]
    issuer: TokenIssuer

    def headers(self, *roles: str) -> dict[str, str]:
        """Let in somebody new, with one key for all that they send."""
        token = self.issuer.issue(Principal(uuid7(), frozenset(roles or {"customer"})))
        return {"Authorization": f"Bearer {token}", "Idempotency-Key": f"again-{uuid4()}"}

    async def storm(self, path: str, body: Any, headers: dict[str, str]) -> list[httpx2.Response]:
        """Send the same request a hundred times at once, to both in turn."""
        return await asyncio.gather(
            *(
                self.clients[n % 2].post(API + path, json=body, headers=headers)
                for n in range(TIMES)
            )
        )

    async def count(self, event_type: str) -> int:
        count: int = await self.db.fetchval(
            "SELECT count(*) FROM orders.order_events WHERE type = $1", event_type
        )
        return count


@pytest_asyncio.fixture
async def pair(stack: Stack, services: Deployment, databases: Databases) -> AsyncIterator[Pair]:
    await services.start("order")
    port = free_port()
    await services.start_beside("order", "api", PORT=str(port))
    db = await asyncpg.connect(databases.admin_dsn)
    await db.execute(
        "INSERT INTO orders.products (sku, name, price, currency, active, available, version)"
        " VALUES ('LANTERN', 'White metal lantern', 339, 'GBP', true, 'SOME', 1)"
    )
    key = SecretStr(stack.signing_key.read_text())
    limits = httpx2.Limits(max_connections=TIMES)
    first, second = (
        httpx2.AsyncClient(base_url=url, limits=limits, timeout=60)
        for url in (services.url("order"), f"http://{LOCALHOST}:{port}")
    )
    async with first, second:
        yield Pair((first, second), db, TokenIssuer(JwtIssuerSettings(jwt_private_key=key)))
    await db.close()


def assert_one_answer(answers: list[httpx2.Response]) -> None:
    """See the same answer each time, byte for byte, and only the first of them as the first."""
    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers.get("location") for answer in answers}) == 1
    replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert (replayed.count("true"), replayed.count(None)) == (TIMES - 1, 1)


async def test_a_hundred_equal_requests_to_two_processes_count_once(pair: Pair) -> None:
    customer, staff = pair.headers(), pair.headers("staff")
    items = {"items": [{"sku": "LANTERN", "quantity": 2}]}

    placed = await pair.storm("/orders", items, customer)

    assert_one_answer(placed)
    assert await pair.count("OrderPlaced") == 1
    assert await pair.db.fetchval("SELECT count(*) FROM orders.orders") == 1

    order = f"/orders/{placed[0].json()['orderId']}"
    # Paid for, as if inventory and payment ran.
    await pair.db.execute(
        "UPDATE orders.orders SET status = 'COMPLETED', saga = 'COMPLETED', stock = 'COMMITTED',"
        " payment = 'CAPTURED', amount_captured = total, confirmed_at = now(), settled_at = now()"
    )
    some = {"amount": {"amount": 100, "currency": "GBP"}, "reason": "damaged"}

    assert_one_answer(await pair.storm(f"{order}/refunds", some, staff))
    assert await pair.count("RefundRequested") == 1

    assert_one_answer(await pair.storm(f"{order}/cancel", {}, customer))
    assert await pair.count("OrderCancelRequested") == 1


async def test_two_bodies_under_one_key_to_two_processes_make_one_order(pair: Pair) -> None:
    customer = pair.headers()
    bodies = [{"items": [{"sku": "LANTERN", "quantity": n}]} for n in (1, 2)]

    answers = await asyncio.gather(
        *(
            client.post(f"{API}/orders", json=body, headers=customer)
            for client, body in zip(pair.clients, bodies, strict=True)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [202, 422]
    (refused,) = [answer for answer in answers if answer.status_code == 422]
    assert refused.json()["code"] == "idempotency_mismatch"
    assert await pair.count("OrderPlaced") == 1
