"""HTTP to the provider: pooled, limited in time and size, never redirected, behind the breaker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote_plus

import aiohttp
import orjson
from common import telemetry

from payment_service.gateway.breaker import Breaker
from payment_service.gateway.wire import Form

_LARGEST_ANSWER = 2 * 1024 * 1024
"""A full list is a tenth of it."""

_LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A provider that wants more is broken, not busy."""

_HTTP_DATE = re.compile(
    "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)

_SERVER_ERROR = 500
_FORM_TYPE = "application/x-www-form-urlencoded"

_log = telemetry.get_logger()


class Unreachable(Exception):
    """No connection came about: certainly nothing was done."""


class Interrupted(Exception):
    """The call was made and there is no usable answer: nobody knows what was done."""


class _ServerFailed(Exception):
    """Lets the breaker count an answer that can be read all the same."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that could be read."""

    status: int
    body: dict[str, Any]
    replayed: bool = False
    retry_after: timedelta = timedelta(0)


class Client:
    """One pool of connections to the provider; enter it before the first call."""

    def __init__(
        self,
        *,
        url: str,
        key: str,
        timeout: timedelta,
        connections: int,
        breaker: Breaker,
    ) -> None:
        self.breaker = breaker
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, path: str, form: Form, key: str) -> Reply:
        """Make a call under its idempotency key.

        Raises CircuitOpen, Unreachable or Interrupted.
        """
        headers = {"Content-Type": _FORM_TYPE, "Idempotency-Key": key}
        return await self._exchange("POST", path, data=_encoded(form), headers=headers)

    async def get(self, path: str, query: Form) -> Reply:
        """Read the provider's records; raises as `post` does."""
        return await self._exchange("GET", path, params=query)

    async def _exchange(self, method: str, path: str, **request: Any) -> Reply:
        if self._session is None:
            raise RuntimeError("enter the client before its first call")
        try:
            with self.breaker.calling():
                reply = _working(await self._send(self._session, method, path, **request))
        except _ServerFailed as failure:
            return failure.reply
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(type(error).__name__) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Interrupted(type(error).__name__) from error
        return reply

    async def _send(
        self, session: aiohttp.ClientSession, method: str, path: str, **request: Any
    ) -> Reply:
        async with session.request(
            method, self._url + path, allow_redirects=False, **request
        ) as response:
            return Reply(
                response.status,
                _parsed(await _read(response), response.status),
                replayed=response.headers.get("Idempotent-Replayed") == "true",
                retry_after=_retry_after(response.headers.get("Retry-After", "")),
            )


def _encoded(form: Form) -> bytes:
    # aiohttp's own form takes as long as the rest of the call; our names need no escaping.
    return "&".join(f"{name}={quote_plus(value)}" for name, value in form.items()).encode()


def _working(reply: Reply) -> Reply:
    # A replayed failure is as old as its key: it tells nothing about now.
    if reply.status >= _SERVER_ERROR and not reply.replayed:
        raise _ServerFailed(reply)
    return reply


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > _LARGEST_ANSWER:
            raise Interrupted("answer too large")
        parts.append(part)
    return b"".join(parts)


def _parsed(content: bytes, status: int) -> dict[str, Any]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        return body
    if status >= _SERVER_ERROR:  # a proxy's page: the status says enough
        return {}
    raise Interrupted("answer is not a JSON object")


def _retry_after(value: str) -> timedelta:
    """Read whole seconds or a date, an hour at most; anything else is as good as nothing said."""
    nothing = timedelta(0)
    if re.fullmatch("[0-9]{1,9}", value):
        wanted = timedelta(seconds=int(value))
    elif _HTTP_DATE.fullmatch(value):
        try:
            wanted = parsedate_to_datetime(value) - datetime.now(UTC)
        except ValueError:  # no such day
            return nothing
    else:
        return nothing
    return max(nothing, min(wanted, _LONGEST_RETRY_AFTER))
