import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import prometheus_client
import pytest
import pytest_asyncio
import uvicorn
from common.edge import BODY_LIMIT, Edge
from common.health import Health
from common.http import Body, Router, create_app
from common.settings import ServiceSettings
from starlette.types import Receive, Scope, Send
from typing_extensions import override

router = Router()


class Note(Body):
    text: str


@router.post("/notes")
async def take(body: Note) -> int:
    return len(body.text)


class Server:
    """The real server, spoken to in raw bytes."""

    def __init__(self, port: int) -> None:
        self._port = port

    @asynccontextmanager
    async def connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def send(self, *parts: bytes) -> tuple[int, dict[str, Any]]:
        async with self.connection() as (reader, writer):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await answer(reader)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
        content = json.loads(await reader.readexactly(length))
    return int(head.split(b" ")[1]), content if isinstance(content, dict) else {"value": content}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    app = create_app(
        title="Notes",
        service="note-service",
        settings=ServiceSettings(app_env="test"),
        health=Health(),
        routers=[router],
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    yield Server(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await serving


HEAD = b"POST /api/v1/notes HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def sized(content: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def note(length: int) -> bytes:
    return b'{"text":"' + b"x" * (length - 11) + b'"}'


async def test_a_body_of_exactly_the_limit_is_taken(server: Server) -> None:
    assert await server.send(sized(note(BODY_LIMIT))) == (200, {"value": BODY_LIMIT - 11})


async def test_a_chunked_body_is_put_together(server: Server) -> None:
    content = note(1000)

    status, value = await server.send(CHUNKED, chunk(content[:10]), chunk(content[10:]), chunk(b""))

    assert (status, value) == (200, {"value": 989})


async def test_a_body_that_says_it_is_too_large_is_not_read(server: Server) -> None:
    head = HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)

    status, problem = await server.send(head)

    assert (status, problem["code"]) == (413, "body_too_large")


async def test_chunks_without_end_are_cut_off_at_the_limit(server: Server) -> None:
    piece = chunk(b"x" * 4096)

    status, problem = await server.send(CHUNKED, *[piece] * (BODY_LIMIT // 4096 + 1))

    assert (status, problem["code"]) == (413, "body_too_large")


async def test_a_refused_body_closes_the_connection(server: Server) -> None:
    async with server.connection() as (reader, writer):
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1))
        await answer(reader)

        async with asyncio.timeout(10):
            assert await reader.read() == b""


async def test_a_client_that_leaves_in_the_middle_harms_nobody(server: Server) -> None:
    async with server.connection() as (_, writer):
        writer.write(CHUNKED + chunk(b'{"te'))
        await writer.drain()

    assert (await server.send(sized(note(20))))[0] == 200


class Client:
    """A client of one ASGI call that sends its body piece by piece, or never."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.status = 0
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self._pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": self._pieces.pop(0), "more_body": True}

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))
        self.status = message.get("status", self.status)


def scope(**changes: Any) -> dict[str, Any]:
    headers = [(b"transfer-encoding", b"chunked")]
    return {"type": "http", "method": "POST", "path": "/", "headers": headers, **changes}


async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pytest.fail("the application was called")


async def test_a_slow_body_is_given_up() -> None:
    client = Client(b"{", b'"')

    await Edge(never, body_timeout=0.05)(scope(), client.receive, client.send)

    assert client.status == 408
    assert json.loads(client.sent[-1]["body"])["code"] == "request_timeout"


async def test_a_bug_after_the_answer_began_sends_no_second_answer() -> None:
    async def breaks(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        message = "in the middle"
        raise RuntimeError(message)

    client = Client()

    await Edge(breaks)(scope(headers=[]), client.receive, client.send)

    assert [message["type"] for message in client.sent] == ["http.response.start"]


async def test_half_a_body_from_a_client_that_is_gone_is_no_request() -> None:
    class Gone(Client):
        @override
        async def receive(self) -> dict[str, Any]:
            return await super().receive() if self._pieces else {"type": "http.disconnect"}

    client = Gone(b"{")

    await Edge(never)(scope(), client.receive, client.send)

    assert client.sent == []


async def test_a_client_that_is_gone_is_counted_as_such() -> None:
    async def waits(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    client = Client()
    task = asyncio.create_task(Edge(waits)(scope(headers=[]), client.receive, client.send))
    await asyncio.sleep(0)
    before = counted("499")

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert counted("499") == before + 1


def counted(status: str) -> float:
    labels = {"route": "unmatched", "method": "POST", "status": status}
    value = prometheus_client.REGISTRY.get_sample_value("pedido_http_requests_total", labels)
    return value or 0.0


async def test_what_is_not_http_passes_untouched() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    client = Client()

    await Edge(app)({"type": "lifespan"}, client.receive, client.send)

    assert seen == ["lifespan"]
