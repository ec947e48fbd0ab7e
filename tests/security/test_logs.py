"""Everything that a service wrote while strangers and customers called: read to the last line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import orjson
import pytest
from common.telemetry import LOG_FIELDS

if TYPE_CHECKING:
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.support.kafka import Topics

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]

EMAIL = "canary.7f3a9c@example.com"
PASSWORD = "canary-password-7f3a9c"
NAME = "Canary Sevenf"
CARD = "4242 4242 4242 4242"
KEY = "canary-idempotency-7f3a9c"
TOKEN = "canary-token-7f3a9c"
CANARIES = (EMAIL, EMAIL.split("@", maxsplit=1)[0], PASSWORD, NAME, CARD, KEY, TOKEN)
ESCAPES = "\x1b[31mred\x07\r\nlevel=error event=forged\u202e"


async def test_a_service_logs_who_failed_and_never_what_was_sent(
    stack: Stack, services: Deployment, topics: Topics
) -> None:
    services.overrides["order"] = {"LOG_LEVEL": "debug"}
    await services.start("order")
    async with httpx2.AsyncClient(base_url=f"{services.url('order')}/api/v1") as http:
        secrets = await live(http)
    await services.stop("order")

    log = (stack.state / "logs" / f"{topics.prefix}order.log").read_bytes()

    lines = [orjson.loads(line) for line in log.splitlines()]
    assert len(lines) > 20
    assert set().union(*lines) <= LOG_FIELDS
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", log)
    text = log.decode()
    for canary in (*CANARIES, *secrets):
        assert canary not in text, canary
    assert "forged" not in text
    assert events(lines, "authentication failed") >= {"not a token", "no bearer token"}
    assert any(line["event"] == "login failed" for line in lines)
    assert any(line["event"] == "forbidden" and line["missing"] for line in lines)
    assert any(line.get("status_code") == HTTPStatus.UNPROCESSABLE_ENTITY for line in lines)


def events(lines: Sequence[dict[str, Any]], name: str) -> set[str]:
    return {line["reason"] for line in lines if line["event"] == name}


async def live(http: httpx2.AsyncClient) -> Sequence[str]:
    """Do what customers and strangers do, well and badly; answers the tokens that came of it."""
    account = {"email": EMAIL, "password": PASSWORD}
    registered = await http.post("/auth/register", json=account | {"name": NAME})
    assert registered.status_code == HTTPStatus.CREATED
    session = (await http.post("/auth/login", json=account)).json()
    await http.post("/auth/login", json=account | {"password": f"{PASSWORD}-wrong"})
    bearer = {"Authorization": f"Bearer {session['accessToken']}", "Idempotency-Key": KEY}
    for item in ({"sku": CARD, "quantity": 1}, {"sku": "TEA", "quantity": 1}, {EMAIL: NAME}):
        await http.post("/orders", json={"items": [item], "paymentMethod": CARD}, headers=bearer)
    await http.post("/orders", content=f'{{"{EMAIL}": '.encode(), headers=bearer)
    await http.get("/orders", params={"customerId": EMAIL, ESCAPES: PASSWORD}, headers=bearer)
    await http.get(f"/orders/{quote(ESCAPES + EMAIL)}", headers=bearer)
    await http.get("/orders", headers={"Authorization": f"Bearer {TOKEN}"})
    await http.get("/orders", headers={"Authorization": f"Basic {TOKEN}"})
    await http.get("/orders", headers=bearer | {"X-Correlation-Id": f"{TOKEN} {NAME}"})
    await http.get("/health/detailed", headers=bearer)
    await http.post(f"/orders/{uuid4()}/ship", headers=bearer, json={})
    await http.post("/auth/refresh", json={"refreshToken": session["refreshToken"]})
    return [session["accessToken"], session["refreshToken"]]
