"""The outermost layer of every request: trace, limits, headers, count, log; pure ASGI, once."""

import asyncio
import time
from collections.abc import Collection
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import problem, telemetry
from common.errors import Refusal
from common.head import READ_AT
from common.limits import Limits, headers_of

BODY_LIMIT = 256 * 1024
"""An order of 1,000 lines takes about a fifth of it."""

BODY_TIMEOUT = 10.0
"""Seconds for a whole body: enough for 256 KiB over a bad mobile line."""

LATE = 1.0
"""Seconds from a request's head to its first step. A turn of the event loop takes so long then, and
it needs several: it would be answered when nobody waits for it any more."""

_CLIENT_LEFT = 499
"""What nginx writes when the client is gone before it was answered."""

_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""Sent unless the route sent its own."""

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
"""Others share one label: a client must not be able to make new time series."""

_SHED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Metrics count them: a line for each would add to what there is too much of."""

_TOO_LATE = Refusal("overloaded", problem.MEANINGS["overloaded"], status=503, retry_after=1)

log = telemetry.get_logger()


class Edge:
    """What happens to every request, in one pass."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits | None = None,
        unlimited: Collection[str] = (),
        unshed: Collection[str] = (),
        body_limit: int = BODY_LIMIT,
        body_timeout: float = BODY_TIMEOUT,
    ) -> None:
        self._app = app
        self._limits = limits
        self._unlimited = frozenset(unlimited)
        self._unshed = tuple(unshed)
        self._body_limit = body_limit
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        telemetry.begin_work(_text(headers, b"traceparent"), _text(headers, b"x-correlation-id"))
        answer = _Answer(scope, send)
        try:
            if self._is_late(scope, started):
                await problem.document(_TOO_LATE)(scope, receive, answer)
                return
            await self._serve(scope, receive, answer, headers)
        except Exception:  # a request's entry point: a bug is one 500, not a crash
            log.exception("request failed", method=scope["method"], route=_route(scope))
            if not answer.begun:
                await problem.internal_error()(scope, receive, answer)
        finally:
            _record(scope, answer.status, time.perf_counter() - started)

    def _is_late(self, scope: Scope, now: float) -> bool:
        read_at = scope.get("state", {}).get(READ_AT, now)
        return now - read_at > LATE and not scope["path"].startswith(self._unshed)

    async def _serve(
        self, scope: Scope, receive: Receive, answer: "_Answer", headers: dict[bytes, bytes]
    ) -> None:
        try:
            if self._limits is not None and scope["path"] not in self._unlimited:
                self._limits.admit(scope, headers)
            received = await self._take_body(scope, receive, headers)
        except Refusal as refusal:
            response = problem.document(refusal)
            response.headers["Connection"] = "close"  # the rest of the body is not read
            await response(scope, receive, answer)
        except ClientDisconnect:
            return  # nobody is left to answer, and half a body is no request
        else:
            await self._app(scope, received, answer)

    async def _take_body(
        self, scope: Scope, receive: Receive, headers: dict[bytes, bytes]
    ) -> Receive:
        """Read the body whole, so that no handler ever holds resources for a slow client."""
        length = headers.get(b"content-length")
        if length is None and b"transfer-encoding" not in headers:
            return receive
        if length is not None and length.isdigit() and int(length) > self._body_limit:
            raise _too_large(self._body_limit)
        if length == b"0" and scope["method"] in _BODILESS:
            return receive
        try:
            async with asyncio.timeout(self._body_timeout):
                return await _read(receive, self._body_limit)
        except TimeoutError:
            detail = problem.MEANINGS["request_timeout"]
            raise Refusal("request_timeout", detail, status=408) from None


async def _read(receive: Receive, limit: int) -> Receive:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return _replay({"type": "http.request", "body": bytes(body), "more_body": False}, receive)


def _replay(message: Message, receive: Receive) -> Receive:
    waiting = [message]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


class _Answer:
    """The way out: remembers the status and adds the headers that every answer carries."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.begun = False
        self.status = _CLIENT_LEFT

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            headers.extend(header for header in _HEADERS if header[0] not in present)
            headers.extend(headers_of(self._scope))
            correlation = telemetry.correlation_id.get()
            if correlation is not None:
                headers.append((b"x-correlation-id", correlation.encode()))
            message["headers"] = headers
        await self._send(message)


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = _route(scope)
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    telemetry.HTTP_REQUESTS.labels(route, method, str(status)).inc()
    telemetry.HTTP_DURATION.labels(route, method).observe(seconds)
    write = log.debug if status < HTTPStatus.BAD_REQUEST or status in _SHED else log.info
    write(
        "request answered",
        method=method,
        route=route,
        status_code=status,
        duration_ms=round(seconds * 1000, 2),
    )


def _route(scope: Scope) -> str:
    """Name the route, never the path: paths carry ids, and unknown ones are endless."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _too_large(limit: int) -> Refusal:
    return Refusal("body_too_large", f"Send at most {limit} bytes.", status=413)
