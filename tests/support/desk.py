"""Inventory's application in this process, and somebody of each role at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.process import Service
from common.settings import JwtIssuerSettings
from inventory_service.app import build
from inventory_service.settings import Settings
from pydantic import SecretStr


@dataclass(frozen=True)
class Desk:
    """The application and a client that talks to it."""

    service: Service
    http: httpx2.AsyncClient
    issuer: TokenIssuer

    async def ask(
        self, method: str, path: str, *, role: str | None = "admin", **request: Any
    ) -> httpx2.Response:
        """Send a request as somebody new with this role, or as nobody."""
        headers = dict(request.pop("headers", {}))
        if role is not None:
            principal = Principal(uuid7(), frozenset({role}))
            headers["Authorization"] = f"Bearer {self.issuer.issue(principal)}"
        return await self.http.request(method, path, headers=headers, **request)


@asynccontextmanager
async def open_desk(database_url: str) -> AsyncIterator[Desk]:
    """Build the real application on this database; nothing here reaches a broker."""
    settings = Settings(
        app_env="test",
        database_url=SecretStr(database_url),
        kafka_bootstrap_servers="127.0.0.1:9",
    )
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    service = build(settings)
    service.api.state.verifier = issuer.verifier()
    transport = httpx2.ASGITransport(app=service.api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://pedido/api/v1") as http:
        yield Desk(service, http, issuer)
    await service.database.close()


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    """Read a problem document's status and code; anything else fails."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]
