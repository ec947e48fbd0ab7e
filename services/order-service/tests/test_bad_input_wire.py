"""The table's rows that need a real socket: bodies without end, and slow ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from typing_extensions import override

from tests.support.shop import API, Caller, Shop

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]


ORDER = {"items": [{"sku": "TEA", "quantity": 1}]}

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(stocked: Shop) -> AsyncIterator[int]:
    """Serve the shop on a real socket."""
    config = uvicorn.Config(stocked.app, port=0, lifespan="off", http="httptools", log_config=None)
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def _send(port: int, customer: Caller, *headers: str) -> Pipe:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        f"POST {API}/orders HTTP/1.1",
        "Host: pedido",
        "Content-Type: application/json",
        "Idempotency-Key: k",
        f"Authorization: Bearer {customer.token}",
        *headers,
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await writer.drain()
    return reader, writer


async def test_a_body_that_says_it_is_too_large(customer: Caller, port: int) -> None:
    reader, writer = await _send(port, customer, "Content-Length: 300000")

    head = await reader.readuntil(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    writer.close()


async def test_a_chunked_body_without_end(customer: Caller, port: int) -> None:
    reader, writer = await _send(port, customer, "Transfer-Encoding: chunked")
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    sent = 0
    while not answer.done():
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await asyncio.sleep(0.001)
        sent += 0x10000
        assert sent < 100 * 2**20

    assert (await answer).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_body_that_comes_drop_by_drop(customer: Caller, port: int) -> None:
    reader, writer = await _send(port, customer, "Content-Length: 1000")
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    began = time.monotonic()
    while not answer.done():
        writer.write(b" ")
        await asyncio.sleep(0.2)

    assert (await answer).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 15
    writer.close()


async def test_a_slow_body_does_not_hold_up_others(customer: Caller, port: int) -> None:
    connections = [await _send(port, customer, "Content-Length: 1000") for _ in range(100)]

    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}{API}") as http:
        answer = await http.post("/orders", json=ORDER, headers=customer.headers())

    assert answer.status_code == 202
    for _, writer in connections:
        writer.close()
