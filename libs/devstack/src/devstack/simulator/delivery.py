"""How an answer reaches its client: at once, late, or never."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from devstack.simulator.moods import Mood

_CUT = "devstack.cut"
_LONGEST_HANG = 60.0
"""Longer than any client waits; a client that leaves ends it at once."""
_BETWEEN_BYTES = 1.0
_ON_ITS_WAY = 0.05
"""Time for the first half to leave before the connection goes, and takes with it what has not."""


class Cuttable(HttpToolsProtocol):
    """uvicorn's protocol, with a way for the application to cut the connection without a word."""

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_CUT: {"now": self.transport.abort}}


class Delivery:
    """Sends an answer as its mood wants, then lets go of what the request held."""

    def __init__(self, response: Response, mood: Mood, delay: float, held: ExitStack) -> None:
        """Take over what is held: it is let go when the client has its answer or has left."""
        self._response = response
        self._mood = mood
        self._delay = delay
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be the ASGI application that answers."""
        with self._held:
            await asyncio.sleep(self._delay)
            match self._mood:
                case Mood.LOST:
                    await _cut(scope, receive)
                case Mood.RESET:
                    await _send_half(self._response, send)
                    await _cut(scope, receive)
                case Mood.DRIP:
                    await _drip(self._response, receive, send)
                case Mood.HANGS:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(_client_left(receive), _LONGEST_HANG)
                    await self._response(scope, receive, send)
                case _:
                    await self._response(scope, receive, send)


async def _cut(scope: Scope, receive: Receive) -> None:
    scope["extensions"][_CUT]["now"]()
    await _client_left(receive)


async def _send_half(response: Response, send: Send) -> None:
    await _start(response, send)
    body = bytes(response.body)
    await _send_part(send, body[: len(body) // 2])
    await asyncio.sleep(_ON_ITS_WAY)


async def _drip(response: Response, receive: Receive, send: Send) -> None:
    """Send a byte a second, until all is sent or the client has had enough."""
    left = asyncio.create_task(_client_left(receive))
    try:
        await _start(response, send)
        for byte in response.body:
            await _send_part(send, bytes([byte]))
            if (await asyncio.wait([left], timeout=_BETWEEN_BYTES))[0]:
                return
        await send({"type": "http.response.body", "body": b""})
    finally:
        left.cancel()


async def _start(response: Response, send: Send) -> None:
    message = {"type": "http.response.start", "status": response.status_code}
    await send({**message, "headers": response.raw_headers})


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
