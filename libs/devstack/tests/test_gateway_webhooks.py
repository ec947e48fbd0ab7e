"""The gateway's events: signed as Stripe signs, and as early, late, often or forged as told."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.support.gateway import Client, RunningGateway
from tests.support.waiting import eventually

SECRET = "whsec_test"


@dataclass
class Endpoint:
    """Takes events and remembers them."""

    url: str = ""
    status: int = 200
    events: list[dict[str, Any]] = field(default_factory=list)
    signed: list[bool] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        moment, mac = request.headers["Stripe-Signature"].removeprefix("t=").split(",v1=")
        ours = hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        self.signed.append(hmac.compare_digest(ours, mac))
        self.events.append(json.loads(body))
        return web.Response(status=self.status)

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def has(self, count: int) -> bool:
        return len(self.events) >= count


@pytest_asyncio.fixture
async def endpoint(client: Client) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/hook", endpoint.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    endpoint.url = f"http://{host}:{port}/hook"
    await register(client, endpoint)
    yield endpoint
    assert (await client.http.put("/webhooks", json={})).status_code == 200
    await runner.cleanup()


async def register(client: Client, endpoint: Endpoint, **manner: str) -> None:
    wanted = {"url": endpoint.url, "secret": SECRET, **manner}
    assert (await client.http.put("/webhooks", json=wanted)).status_code == 200


async def test_every_change_is_told_signed(client: Client, endpoint: Endpoint) -> None:
    intent = await client.captured()
    await client.post("/v1/refunds", {"payment_intent": intent, "amount": 10})
    await client.authorise("pm_declined")

    await eventually(partial(endpoint.has, 4))

    assert sorted(endpoint.types()) == [
        "payment_intent.amount_capturable_updated",
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
        "refund.created",
    ]
    assert all(endpoint.signed)
    assert len({event["id"] for event in endpoint.events}) == 4


async def test_a_token_tells_how_its_events_come(client: Client, endpoint: Endpoint) -> None:
    await client.authorise("pm_webhook_first")
    assert len(endpoint.events) == 1  # before the answer

    await client.authorise("pm_webhook_twice")
    await eventually(partial(endpoint.has, 3))
    assert endpoint.events[1]["id"] == endpoint.events[2]["id"]

    await client.authorise("pm_webhook_forged")
    await eventually(partial(endpoint.has, 4))
    assert endpoint.signed == [True, True, True, False]


async def test_an_event_may_tell_what_is_not_so(client: Client, endpoint: Endpoint) -> None:
    await client.authorise("pm_webhook_wrong_amount", amount=1000)
    await client.authorise("pm_webhook_unknown")
    await eventually(partial(endpoint.has, 2))

    told = {event["data"]["object"]["amount"]: event["data"]["object"] for event in endpoint.events}

    assert endpoint.signed == [True, True]
    assert set(told) == {1001, 1000}
    assert set(told[1000]["metadata"]) == {"order_id", "payment_id"}


@pytest.mark.slow
async def test_shuffled_events_come_backwards(client: Client, endpoint: Endpoint) -> None:
    await client.captured("pm_webhook_shuffled")

    await eventually(partial(endpoint.has, 2))

    assert endpoint.types() == [
        "payment_intent.succeeded",
        "payment_intent.amount_capturable_updated",
    ]


async def test_an_event_comes_again_until_it_is_taken(
    client: Client, endpoint: Endpoint, gateway: RunningGateway
) -> None:
    endpoint.status = 503
    await client.authorise()
    await eventually(partial(endpoint.has, 2))
    endpoint.status = 200
    event_id = endpoint.events[0]["id"]

    async def taken() -> bool:
        query = "SELECT status FROM deliveries WHERE event_id = ? ORDER BY seq"
        statuses = [status for (status,) in gateway.rows(query, event_id)]
        return statuses[-1:] == [200] and set(statuses[:-1]) == {503}

    await eventually(taken)


async def test_a_hold_that_expired_can_not_be_captured(
    client: Client, gateway: RunningGateway
) -> None:
    intent = await client.authorised("pm_expires")

    answer = await client.post(f"/v1/payment_intents/{intent}/capture")

    assert answer.json()["error"]["code"] == "payment_intent_unexpected_state"
    assert (await client.get(f"/v1/payment_intents/{intent}"))["status"] == "canceled"
    query = "SELECT kind FROM effects WHERE intent_id = ? ORDER BY seq"
    assert gateway.rows(query, intent) == [("authorize",), ("cancel",)]


async def test_an_unknown_manner_is_refused(client: Client) -> None:
    assert (await client.http.put("/webhooks", json={"manner": "loud"})).status_code == 400
