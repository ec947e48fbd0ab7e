"""A thousand clients that never finish: others are served meanwhile, and memory stays bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

if TYPE_CHECKING:
    from devstack.deployment import Deployment

pytestmark = [pytest.mark.saga, pytest.mark.slow, pytest.mark.timeout(180)]

CLIENTS = 1000
MEBIBYTE = 2**20
MOST = 100 * MEBIBYTE
"""A thousand heads or bodies of the largest size that is kept while it is incomplete: 64 KiB of a
head, and what was sent of a body."""

HEAD = b"POST /api/v1/orders HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\n"
BEGINNINGS: Sequence[bytes] = (
    b"",
    HEAD + b"X: " + b"x" * 30_000,
    HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 30_000,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n7530\r\n" + b"x" * 30_000,
)


async def test_a_thousand_slow_clients_hold_up_nobody(services: Deployment) -> None:
    await services.start("order")
    url = services.url("order")
    port = urlsplit(url).port or 0
    process = psutil.Process(services.pid("order"))
    before = process.memory_info().rss

    async with AsyncExitStack() as exits, httpx2.AsyncClient(base_url=url) as honest:
        slow = [
            await exits.enter_async_context(connected(port, BEGINNINGS[number % len(BEGINNINGS)]))
            for number in range(CLIENTS)
        ]
        took = [await visit(honest) for _ in range(20)]
        grown = process.memory_info().rss - before

        async with asyncio.timeout(40):
            ends = await asyncio.gather(*(reader.read() for reader in slow))

    assert sorted(took)[-2] < 1
    assert grown < MOST
    assert {end[:13] for end in ends} == {b"", b"HTTP/1.1 408 "}


async def visit(honest: httpx2.AsyncClient) -> float:
    began = time.perf_counter()
    answer = await honest.get("/api/v1/products")
    assert answer.status_code == 200
    return time.perf_counter() - began


@asynccontextmanager
async def connected(port: int, beginning: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Say the beginning of something, and nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    try:
        yield reader
    finally:
        writer.close()
