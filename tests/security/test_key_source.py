"""While the issuer's keys can't be had, nobody is let in anywhere: refused, never believed."""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.settings import JwtIssuerSettings
from fastapi import FastAPI

VERIFIERS = ("inventory", "payment", "notification")
"""Order-service is the issuer: it has its keys itself."""

ENVIRONMENT = {
    "APP_ENV": "development",
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:9/none",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "JWT_JWKS_URL": "http://127.0.0.1:9/.well-known/jwks.json",
    "PAYMENT_GATEWAY_URL": "http://127.0.0.1:9",
    "PAYMENT_GATEWAY_KEY": "sk_test_nothing",
    "PAYMENT_WEBHOOK_SECRET": "whsec_" + "0" * 40,
    "SMTP_URL": "smtp://127.0.0.1:9",
}


@pytest.fixture(params=VERIFIERS)
def app(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Build a service whose key source is dead, and its database too."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    service = importlib.import_module(f"{request.param}_service.app")
    settings = importlib.import_module(f"{request.param}_service.settings")
    api: FastAPI = service.build(settings.Settings()).api
    return api


@pytest_asyncio.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Call it."""
    transport, headers = httpx2.ASGITransport(app), {"Idempotency-Key": "a-key"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://pedido", headers=headers
    ) as http:
        yield http


def protected(app: FastAPI) -> Iterator[tuple[str, str]]:
    """List every operation that asks who is calling."""
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            if operation.get("security"):
                yield method.upper(), re.sub(r"\{.*?\}", str(uuid4()), path)


async def test_without_keys_every_caller_is_told_to_come_again(
    app: FastAPI, http: httpx2.AsyncClient
) -> None:
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    admin = Principal(uuid4(), frozenset({"admin", "operator", "staff", "customer"}))
    bearer = {"Authorization": f"Bearer {issuer.issue(admin)}"}
    routes = list(protected(app))
    assert len(routes) > 10

    for method, path in routes:
        answer = await http.request(method, path, headers=bearer, json={})

        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready"), path
        assert answer.headers["retry-after"]


@pytest.mark.parametrize("value", ["Bearer x", "Bearer ", "Basic YTpi", "Bearer a.b.c"])
async def test_without_keys_what_is_no_token_is_refused_as_ever(
    app: FastAPI, http: httpx2.AsyncClient, value: str
) -> None:
    for method, path in protected(app):
        answer = await http.request(method, path, headers={"Authorization": value}, json={})

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path


async def test_a_process_that_believes_nobody_refuses_everybody(
    app: FastAPI, http: httpx2.AsyncClient
) -> None:
    app.state.verifier = None

    for method, path in protected(app):
        answer = await http.request(method, path, headers={"Authorization": "Bearer x"}, json={})

        assert answer.status_code == 401, path
