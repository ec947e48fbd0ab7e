"""What a request's head may weigh: the server underneath keeps any amount of it, body or none."""

import asyncio
import time
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""Bytes without a head that ends or a body that grows; the largest token we believe has 8 KiB."""

HEAD_TIMEOUT = 10.0
"""Seconds from the first byte of a head, or from the connection, to the head's end."""

READ_AT = "pedido.read_at"
"""Where the state in a request's scope tells when its head was read, by `time.perf_counter()`."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which hangs up on a URL, headers, extensions or trailers without end."""

    _unended = 0
    _waiting: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        """Read on, unless too much came since the last thing that was complete."""
        if self._waiting is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()
        self._unended += len(data)
        super().data_received(data)
        if self._unended > HEAD_LIMIT and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    @override
    def on_headers_complete(self) -> None:
        """Begin to count anew, and note the time: the request is handled when its turn comes."""
        self._unended = 0
        self._stop_waiting()
        super().on_headers_complete()
        self.scope["state"][READ_AT] = time.perf_counter()

    @override
    def on_body(self, body: bytes) -> None:
        """Begin to count anew: the body has its own limit."""
        self._unended = 0
        super().on_body(body)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_TIMEOUT, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        self.transport.close()
