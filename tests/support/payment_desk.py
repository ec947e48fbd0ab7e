"""Payment-service's HTTP interface in this process, with callers of every role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from payment_service.app import build
from payment_service.settings import Settings


@dataclass(frozen=True)
class PaymentDesk:
    """The application, and somebody of any role at it."""

    http: httpx2.AsyncClient
    issuer: TokenIssuer

    def token(self, role: str | None, user: UUID | None = None) -> dict[str, str]:
        """Make the header of somebody; of nobody for no role."""
        if role is None:
            return {}
        token = self.issuer.issue(Principal(user or uuid7(), frozenset({role})))
        return {"Authorization": f"Bearer {token}"}

    async def get(
        self, path: str, role: str | None = "staff", user: UUID | None = None
    ) -> httpx2.Response:
        """Look at something."""
        return await self.http.get(path, headers=self.token(role, user))

    async def post(self, path: str, role: str | None = "staff", **given: Any) -> httpx2.Response:
        """Ask for something."""
        return await self.http.post(path, headers=self.token(role), **given)


@asynccontextmanager
async def open_payment_desk(settings: Settings) -> AsyncIterator[PaymentDesk]:
    """Build the application as the service does, believing tokens of our own."""
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    service = build(settings)
    service.api.state.verifier = issuer.verifier()
    transport = httpx2.ASGITransport(app=service.api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://pedido/api/v1") as http:
        yield PaymentDesk(http, issuer)
    await service.database.close()


def shown(answer: httpx2.Response, status: int = 200) -> dict[str, Any]:
    """Take the body of an answer that must be well."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: httpx2.Response) -> tuple[int, str]:
    """Take what a refusal says."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]
