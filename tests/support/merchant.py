"""A merchant's system of a test: a real HTTP server that remembers, and answers as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web


@dataclass
class Call:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(orjson.loads(self.body)["type"])

    @property
    def order_id(self) -> str:
        return str(orjson.loads(self.body)["data"]["orderId"])


@dataclass
class Merchant:
    """What the server answers, and what it was sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    hangs: bool = False
    dawdle: float = 0.0
    """Seconds before each answer."""
    refuses: set[str] = field(default_factory=set)
    """Types that are answered with 400."""
    calls: list[Call] = field(default_factory=list)
    port: int = 0
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?shop=1"

    async def take(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            {name.lower(): value for name, value in request.headers.items()}, await request.read()
        )
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.calls.append(call)
        try:
            if self.hangs:
                await asyncio.sleep(30)
            await asyncio.sleep(self.dawdle)
            status = 400 if call.body and call.type in self.refuses else self.status
            return web.Response(status=status, body=self.body, headers=self.headers)
        finally:
            self.at_once -= 1


@asynccontextmanager
async def open_shop(
    merchant: Merchant, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Merchant]:
    """Run the merchant's server."""
    app = web.Application()
    app.router.add_post("/{path:.*}", merchant.take)
    app.router.add_get("/{path:.*}", merchant.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)  # 0 is for ever: until who hangs has slept
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust)
    await site.start()
    merchant.port = runner.addresses[0][1]
    try:
        yield merchant
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_booth(answer: bytes, *, forever: bytes = b"") -> AsyncIterator[int]:
    """Run a server that says what it likes, whatever it is asked; yields its port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while forever:
                writer.write(forever)
                await writer.drain()
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
