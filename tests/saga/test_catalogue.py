"""What an admin does to the catalogue reaches those who order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from devstack.deployment import Deployment
from devstack.stack import Stack
from pydantic import SecretStr

from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]

LANTERN = {
    "sku": "LANTERN",
    "name": "White metal lantern",
    "price": {"amount": 339, "currency": "GBP"},
    "stock": 9,
}


class Shops:
    """Both sides of the counter: inventory for an admin, orders for a customer."""

    def __init__(self, http: httpx2.AsyncClient, services: Deployment, issuer: TokenIssuer) -> None:
        self._http = http
        self._services = services
        self._issuer = issuer

    async def ask(self, service: str, role: str, method: str, path: str, **more: Any) -> Any:
        token = self._issuer.issue(Principal(uuid7(), frozenset({role})))
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid7())}
        url = f"{self._services.url(service)}/api/v1{path}"
        return await self._http.request(method, url, headers=headers, **more)

    async def admin(self, method: str, path: str, **more: Any) -> Any:
        answer = await self.ask("inventory", "admin", method, path, **more)
        assert answer.is_success, answer.text
        return answer

    async def seen(self, status: int, **fields: Any) -> None:
        """Wait until orders shows the lantern like this."""

        async def shown() -> bool:
            answer = await self.ask("order", "customer", "GET", "/products/LANTERN")
            body = answer.json()
            return answer.status_code == status and fields.items() <= body.items()

        await eventually(shown, 30)

    async def order(self) -> tuple[int, str | None]:
        items = [{"sku": "LANTERN", "quantity": 1}]
        answer = await self.ask("order", "customer", "POST", "/orders", json={"items": items})
        return answer.status_code, answer.json().get("code")


@pytest_asyncio.fixture
async def shops(stack: Stack, services: Deployment) -> AsyncIterator[Shops]:
    await services.start("order", "inventory")
    issuer = TokenIssuer(
        JwtIssuerSettings(jwt_private_key=SecretStr(stack.signing_key.read_text()))
    )
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield Shops(http, services, issuer)


async def test_what_is_switched_off_or_removed_can_not_be_ordered_until_it_is_back(
    shops: Shops,
) -> None:
    refused = (422, "unknown_product")
    await shops.admin("POST", "/products", json=LANTERN)
    await shops.seen(200, active=True)

    await shops.admin("PATCH", "/products/LANTERN/deactivate")
    await shops.seen(200, active=False)
    assert await shops.order() == refused

    await shops.admin("DELETE", "/products/LANTERN")
    await shops.seen(404)
    assert await shops.order() == refused

    await shops.admin("POST", "/products", json={**LANTERN, "name": "Red lantern"})
    await shops.seen(200, name="Red lantern", active=True)
    assert await shops.order() == (202, None)
