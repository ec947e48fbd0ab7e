from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from common import edge, head
from common.edge import BODY_LIMIT
from common.head import HEAD_LIMIT, BoundedHead
from common.health import Health
from common.http import Body, Router, create_app
from common.settings import ServiceSettings
from typing_extensions import override

router = Router()


class Note(Body):
    text: str


@router.post("/notes")
async def take(body: Note) -> int:
    return len(body.text)


@asynccontextmanager
async def serving(protocol: type[BoundedHead]) -> AsyncIterator[int]:
    app = create_app(
        title="Notes",
        service="note-service",
        settings=ServiceSettings(app_env="test"),
        health=Health(),
        routers=[router],
    )
    config = uvicorn.Config(app, port=0, http=protocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    async with serving(BoundedHead) as port:
        yield port


HEAD = b"POST /api/v1/notes HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "URL": (b"GET /", b"x" * 4096),
    "one header": (HEAD + b"X: ", b"x" * 4096),
    "many headers": (HEAD, b"X: y\r\n" * 700),
    "chunk extension": (CHUNKED + b"1;", b"x" * 4096),
    "trailers": (CHUNKED + b"1\r\n{\r\n0\r\n", b"X: y\r\n" * 700),
}


@pytest.mark.parametrize(("begin", "piece"), ENDLESS.values(), ids=ENDLESS)
async def test_what_does_not_end_is_cut_off(port: int, begin: bytes, piece: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.read(13))
    sent = 0

    writer.write(begin)
    while not answer.done() and sent < 16 * HEAD_LIMIT:
        writer.write(piece)
        await asyncio.sleep(0.001)
        sent += len(piece)
    writer.close()

    assert await answer == b"HTTP/1.1 400 "


@pytest.mark.parametrize("size", [0, BODY_LIMIT], ids=["no body", "the largest body"])
async def test_large_heads_are_read_again_and_again(port: int, size: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"text":"' + b"x" * (size - 11) + b'"}' if size else b""
    start = HEAD if size else b"GET /api/v1/health/live HTTP/1.1\r\nHost: n\r\n"
    large = b"X: %s\r\nContent-Length: %d\r\n\r\n" % (b"x" * (HEAD_LIMIT - 200), len(body))

    for _ in range(3):
        writer.write(start + large + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(x for x in answer.lower().split(b"\r\n") if x.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        assert answer.startswith(b"HTTP/1.1 200 ")

    writer.close()


LIVE = b"GET /api/v1/health/live HTTP/1.1\r\nHost: n\r\n"
SLOW = {
    "nothing at first": (0, b"", b""),
    "half a method": (0, b"GE", b""),
    "half a head": (0, LIVE + b"X: ", b"x"),
    "an empty line after an answer": (1, b"\r\n", b""),
    "half a head after an answer": (1, LIVE + b"X: ", b"x"),
}


@pytest.mark.parametrize(("before", "begin", "drop"), SLOW.values(), ids=SLOW)
async def test_a_head_that_does_not_come_is_not_waited_for(
    port: int, before: int, begin: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "HEAD_TIMEOUT", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(before):
        writer.write(LIVE + b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")

    writer.write(begin)
    trickle = asyncio.create_task(drop_by_drop(writer, drop))

    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):  # a drop that crosses with the hanging up
            assert await reader.read(1) == b""
    trickle.cancel()
    writer.close()


async def drop_by_drop(writer: asyncio.StreamWriter, drop: bytes) -> None:
    while True:
        writer.write(drop)
        await asyncio.sleep(0.05)


async def test_an_answer_may_take_longer_than_a_head(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "HEAD_TIMEOUT", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(HEAD + b'Content-Length: 11\r\n\r\n{"text":')
    await asyncio.sleep(0.4)
    writer.write(b'""}')

    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


class Busy(BoundedHead):
    """As if a turn of the loop took longer than the bound."""

    @override
    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/notes", 503), ("/api/v1/health/live", 200), ("/metrics", 200), ("/ops/v1/x", 404)],
)
async def test_what_waited_too_long_for_its_turn_is_shed_but_for_who_looks_after_us(
    monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    monkeypatch.setattr(edge, "LATE", 0.05)

    async with serving(Busy) as port, httpx2.AsyncClient() as http:
        answers = [await http.get(f"http://127.0.0.1:{port}{path}") for _ in range(2)]

    assert {answer.status_code for answer in answers} == {status}
    if status == 503:
        assert answers[0].json()["code"] == "overloaded"
        assert answers[0].headers["retry-after"] == "1"
        assert "connection" not in answers[0].headers


async def test_what_is_handled_at_once_is_not_shed() -> None:
    async with serving(BoundedHead) as port, httpx2.AsyncClient() as http:
        answer = await http.post(f"http://127.0.0.1:{port}/api/v1/notes", json={"text": "x"})

    assert answer.status_code == 200
