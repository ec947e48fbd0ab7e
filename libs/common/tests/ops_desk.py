"""The operator's API of a till, somebody at it, and messages that die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import till
from common import ops
from common.auth import Principal, TokenIssuer
from common.consumer import Consumer
from common.database import Database
from common.health import Health
from common.http import create_app
from common.message import Outcome, Stale, uuid7
from common.settings import ApiSettings, JwtIssuerSettings, KafkaSettings

if TYPE_CHECKING:
    from common.dead_letter import Record


Admin = asyncpg.Connection

NEVER = "NEVER"


def refuse_some(_till: till.Till, event: till.OrderConfirmed) -> Outcome | Stale:
    """Fail for every order but those that end in a letter below 8."""
    if str(event.order_id)[-1] in "89abcdef":
        raise LookupError(NEVER)
    return till.count(_till, event)


def order(last: str) -> UUID:
    """Make an order whose id ends so."""
    return UUID(str(uuid4())[:-1] + last)


@dataclass
class Desk:
    """The API of a till, and an operator at it."""

    http: httpx2.AsyncClient
    issuer: TokenIssuer
    database: Database
    consumer: Consumer[till.Till]
    me: Principal

    async def ask(
        self, method: str, path: str, *, role: str | None = None, **given: Any
    ) -> httpx2.Response:
        caller = self.me if role is None else Principal(uuid7(), frozenset({role} - {"nobody"}))
        headers = {"Idempotency-Key": str(uuid4()), **given.pop("headers", {})}
        if role != "nobody":
            headers["Authorization"] = f"Bearer {self.issuer.issue(caller)}"
        return await self.http.request(method, f"/ops/v1{path}", headers=headers, **given)

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.ask("POST", path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, **given: Any) -> tuple[int, str]:
        answer = await self.ask(method, path, **given)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["code"]

    async def take(self, *records: Record, rule: till.Rule = refuse_some) -> None:
        """Handle records as the consumer would, and fail what fails until it is dead."""
        await till.shell(self.database, rule).handle(records, asyncio.Event())
        await till.sweep(self.database, rule)


@asynccontextmanager
async def open_desk(database: Database) -> AsyncIterator[Desk]:
    """Serve the operator's API over a till."""
    settings = ApiSettings(app_env="test", ops_edit=True)
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    kafka = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:9")
    consumer = Consumer(till.subscription(), database=database, kafka=kafka)
    app = create_app(
        title="till",
        service="till",
        settings=settings,
        verifier=issuer.verifier(),
        health=Health(),
    )
    ops.mount(app, consumer, database, settings)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://till") as http:
        yield Desk(http, issuer, database, consumer, Principal(uuid7(), frozenset({"operator"})))


async def states(admin: Admin) -> dict[str, int]:
    """Count the parked messages by state."""
    rows = await admin.fetch("SELECT state, count(*) AS n FROM parked GROUP BY 1")
    return {row["state"]: row["n"] for row in rows}


async def counted(admin: Admin) -> dict[UUID, int]:
    """Tell how often each order was counted."""
    return {row["order_id"]: row["n"] for row in await admin.fetch("SELECT * FROM till")}


async def letters(desk: Desk, **query: Any) -> list[Any]:
    """List dead letters."""
    found: list[Any] = (await desk.get("/dead-letters", **query))["data"]
    return found


async def fill(desk: Desk, orders: Sequence[UUID]) -> None:
    """Have a message of each order handled, or die."""
    await desk.take(*(till.record(each, offset=n) for n, each in enumerate(orders)))
