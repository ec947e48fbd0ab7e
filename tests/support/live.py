"""Order-service behind a real socket, with its live feed running, and clients that listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
import uvicorn
from common.head import BoundedHead
from common.process import Service, _Server
from devstack.ports import free_port
from order_service.app import build
from order_service.messages import PaymentVoided, StockReleased
from order_service.settings import Settings
from order_service.stream import Feed
from pydantic import SecretStr

from tests.support.orders import OrderDesk
from tests.support.postgres import Databases
from tests.support.shop import API, Caller, Shop
from tests.support.waiting import eventually


@dataclass(frozen=True)
class LiveShop(Shop):
    """A shop that can be listened to."""

    service: Service
    stop: asyncio.Event

    @property
    def feed(self) -> Feed:
        feed: Feed = self.app.state.parts.feed
        return feed

    @asynccontextmanager
    async def listen(
        self, caller: Caller, order_id: str, *, after: int | None = None
    ) -> AsyncIterator[Ear]:
        """Open an order's stream."""
        headers = caller.headers() | ({} if after is None else {"Last-Event-ID": str(after)})
        async with self.http.stream("GET", f"/orders/{order_id}/events", headers=headers) as answer:
            yield Ear(answer)


@dataclass
class Ear:
    """One client of a stream."""

    answer: httpx2.Response
    lines: AsyncIterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.answer.aiter_lines()

    async def hear(self, count: int) -> list[dict[str, Any]]:
        """Take so many events."""
        return [event async for event in self._events(count)]

    async def hear_out(self) -> list[dict[str, Any]]:
        """Take every event until the stream ends."""
        return [event async for event in self._events(None)]

    async def comment(self) -> None:
        """Wait for a heartbeat."""
        async for line in self.lines:
            if line == ":":
                return

    async def _events(self, count: int | None) -> AsyncIterator[dict[str, Any]]:
        last = ""
        while count is None or count > 0:
            try:
                line = await anext(self.lines)
            except StopAsyncIteration:
                return
            name, _, value = line.partition(": ")
            if name == "id":
                last = value
            if name == "data":
                event: dict[str, Any] = json.loads(value)
                assert event["version"] == int(last)
                count = None if count is None else count - 1
                yield event


@asynccontextmanager
async def open_live(databases: Databases, **options: object) -> AsyncIterator[LiveShop]:
    """Serve a shop on a port of its own, with these settings changed."""
    given: dict[str, Any] = {
        "app_env": "development",
        "database_url": SecretStr(databases.app_dsn("orders")),
        "db_schema": "orders",
        "kafka_bootstrap_servers": "127.0.0.1:9",
        **options,
    }
    service = build(Settings(**given))
    port = free_port()
    server = _Server(uvicorn.Config(service.api, port=port, http=BoundedHead, log_config=None))
    stop = asyncio.Event()
    parts = [asyncio.create_task(loop.run(stop)) for loop in service.api_loops]
    serving = asyncio.create_task(server.serve())
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}{API}", timeout=30) as client:
        while not server.started:
            await asyncio.sleep(0.01)
        issuer = service.api.state.parts.issuer
        try:
            yield LiveShop(service.api, service.database, issuer, client, service, stop)
        finally:
            stop.set()
            server.should_exit = True
            await asyncio.gather(*parts, serving)
            await service.database.close()


async def place(live: LiveShop, caller: Caller) -> str:
    order_id: str = (await live.place(caller, ("TEA", 1))).json()["orderId"]
    return order_id


async def cancel(live: LiveShop, caller: Caller, order_id: str) -> None:
    answer = await live.http.post(f"/orders/{order_id}/cancel", headers=caller.headers())
    assert answer.status_code == 202


async def settle(live: LiveShop, order_id: str) -> None:
    """Answer an order's closing, as inventory and payment do."""
    desk = OrderDesk(live.database)
    closed = {"order_id": UUID(order_id), "closing": True}
    await desk.hear(StockReleased(**closed), PaymentVoided(**closed))


async def ask(live: LiveShop, caller: Caller, order_id: str, **headers: str) -> httpx2.Response:
    return await live.http.get(
        f"/orders/{order_id}/events", headers=caller.headers() | headers, timeout=10
    )


async def listening(live: LiveShop, count: int) -> None:
    await eventually(lambda: live.feed._callers.total() == count)
