"""A small HTTP/1.1 server: it misbehaves on the wire when told to, and takes little of the machine.

What it serves stands in for somebody else's machine, beside the services that are measured.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias, cast

import httptools
from typing_extensions import override

_GRACE = 2.0
"""Seconds in which what was asked before the end is still answered."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: str


@dataclass(slots=True)
class Response:
    """What is to be answered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> bytes:
        """Write all that comes before the body."""
        status = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"
        headers = self.headers | {"content-length": str(len(self.body))}
        lines = [status, *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join((*lines, "", "")).encode()


class Connection(asyncio.Protocol):
    """One client: its requests are answered one after the other, by a handler that writes."""

    def __init__(self, handle: Handler, answering: set[asyncio.Task[None]]) -> None:
        """Call that handler for each request; those it has not answered are in the set."""
        self.left = asyncio.Event()
        """Set when the client has gone."""
        self._handle = handle
        self._parser = httptools.HttpRequestParser(self)
        self._turn = asyncio.Lock()
        self._answering = answering

    def write(self, data: bytes) -> None:
        """Send something, unless nobody is there any more."""
        if not self.left.is_set():
            self._transport.write(data)

    def cut(self) -> None:
        """End the connection without a word."""
        self._transport.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.left.set()

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.cut()

    def on_message_begin(self) -> None:
        """Begin a request; like the others of its kind, called by the parser."""
        self._url = self._body = b""
        self._headers: dict[str, str] = {}

    def on_url(self, part: bytes) -> None:
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode().partition("?")
        method = self._parser.get_method().decode()
        request = Request(method, path, query, self._headers, self._body.decode(errors="replace"))
        task = asyncio.create_task(self._answer(request, last=not self._parser.should_keep_alive()))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, request: Request, *, last: bool) -> None:
        try:
            async with self._turn:
                await self._handle(request, self)
        except BaseException:
            self.cut()
            raise
        if last:
            self._transport.close()


Handler: TypeAlias = Callable[[Request, Connection], Awaitable[None]]


async def serve(handle: Handler, *, host: str, port: int) -> None:
    """Serve until told to stop by a signal."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    answering: set[asyncio.Task[None]] = set()
    server = await loop.create_server(lambda: Connection(handle, answering), host, port)
    await stop.wait()
    server.close()
    if answering:
        await asyncio.wait(answering, timeout=_GRACE)
