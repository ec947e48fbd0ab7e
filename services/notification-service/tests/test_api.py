from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.process import Service
from common.settings import JwtIssuerSettings
from notification_service.app import build
from notification_service.domain.notices import Notice
from notification_service.settings import Settings
from notification_service.store import notices
from pydantic import SecretStr

from tests.support.postgres import Databases

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Desk:
    """The application, and somebody of each role at it."""

    service: Service
    http: httpx2.AsyncClient
    issuer: TokenIssuer

    async def ask(self, query: str, *, role: str | None = "staff") -> httpx2.Response:
        headers = {}
        if role is not None:
            token = self.issuer.issue(Principal(uuid7(), frozenset({role})))
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.get(f"/notifications{query}", headers=headers)


@pytest_asyncio.fixture
async def desk(databases: Databases) -> AsyncIterator[Desk]:
    settings = Settings(
        app_env="test",
        database_url=SecretStr(databases.app_dsn("notifications")),
        kafka_bootstrap_servers="127.0.0.1:9",
        smtp_url=SecretStr("smtp://127.0.0.1:9"),
    )
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    service = build(settings)
    service.api.state.verifier = issuer.verifier()
    transport = httpx2.ASGITransport(app=service.api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://pedido/api/v1") as http:
        yield Desk(service, http, issuer)
    await service.database.close()


async def test_staff_see_what_a_customer_was_told(desk: Desk) -> None:
    order_id, other = uuid7(), uuid7()
    async with desk.service.database.transaction() as tx:
        owed = [Notice(order_id, "confirmed"), Notice(other, "rejected", reason="short")]
        await notices.add_notices(tx, owed)

    answer = await desk.ask(f"?orderId={order_id}")

    assert answer.status_code == 200
    (notice,) = answer.json()["data"]
    assert notice.pop("createdAt").endswith("Z")
    assert notice == {
        "orderId": str(order_id),
        "kind": "confirmed",
        "subject": "",
        "channel": "email",
        "status": "PENDING",
        "attempts": 0,
        "reason": None,
        "settledAt": None,
    }


async def test_an_order_that_nobody_was_told_of_has_an_empty_list(desk: Desk) -> None:
    answer = await desk.ask(f"?orderId={uuid7()}")

    assert answer.json() == {"data": [], "nextCursor": None}


@pytest.mark.parametrize(
    ("role", "status"),
    [(None, 401), ("customer", 403), ("operator", 403), ("staff", 200), ("admin", 200)],
    ids=["nobody", "customer", "operator", "staff", "admin"],
)
async def test_only_staff_may_look(desk: Desk, role: str | None, status: int) -> None:
    answer = await desk.ask(f"?orderId={uuid7()}", role=role)

    assert answer.status_code == status


@pytest.mark.parametrize(
    "query",
    ["", "?orderId=", "?orderId=1", f"?orderId={uuid7()}&email=ada@example.com"],
    ids=["absent", "empty", "no uuid", "unknown filter"],
)
async def test_a_filter_that_is_not_understood_is_refused(desk: Desk, query: str) -> None:
    answer = await desk.ask(query)

    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_failed"
    assert "ada@example.com" not in answer.text
