"""How an answer reaches its client: at once, late, or never."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from devstack.simulator.gateway import Fate
from devstack.simulator.keys import Outcome

_CUT = "devstack.cut"
_LONGEST_HANG = 60.0
"""Longer than any client waits; a client that leaves ends it at once."""


class Cuttable(HttpToolsProtocol):
    """uvicorn's protocol, with a way for the application to cut the connection without a word."""

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_CUT: {"now": self.transport.abort}}


class Delivery:
    """Sends an answer as its fate wants, then lets go of what the request held."""

    def __init__(self, response: Response, outcome: Outcome, held: ExitStack) -> None:
        """Take over what is held: it is let go when the client has its answer or has left."""
        self._response = response
        self._outcome = outcome
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be the ASGI application that answers."""
        with self._held:
            await asyncio.sleep(self._outcome.delay)
            if self._outcome.fate is Fate.LOST:
                scope["extensions"][_CUT]["now"]()
                await _client_left(receive)
                return
            if self._outcome.fate is Fate.HANGS:
                with suppress(TimeoutError):
                    await asyncio.wait_for(_client_left(receive), _LONGEST_HANG)
            await self._response(scope, receive, send)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
