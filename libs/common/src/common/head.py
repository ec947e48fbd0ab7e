"""What a request's head may weigh: the server underneath keeps any amount of it, body or none."""

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""Bytes without a head that ends or a body that grows; the largest token we believe has 8 KiB."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which hangs up on a URL, headers, extensions or trailers without end."""

    _unended = 0

    @override
    def data_received(self, data: bytes) -> None:
        """Read on, unless too much came since the last thing that was complete."""
        self._unended += len(data)
        super().data_received(data)
        if self._unended > HEAD_LIMIT and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    @override
    def on_headers_complete(self) -> None:
        """Begin to count anew."""
        self._unended = 0
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        """Begin to count anew: the body has its own limit."""
        self._unended = 0
        super().on_body(body)
