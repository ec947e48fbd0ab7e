"""HTTP to merchants' endpoints: to public addresses only, never redirected, small and bounded."""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeAlias

import aiohttp
from yarl import URL

from notification_service.domain import hosts
from notification_service.domain.deliveries import Answered, DeliveryOutcome, Unanswered

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""Answers a host's addresses, best first; raises OSError."""

_AGENT = "Pedido-Webhooks/1"
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


class _NotPublic(Exception):
    """A name leads to where only we could go."""


_MEANINGS: Sequence[tuple[type[Exception], DeliveryOutcome]] = (
    (_NotPublic, "address_refused"),
    (TimeoutError, "timeout"),
    (socket.gaierror, "name_unknown"),
    (aiohttp.ClientSSLError, "tls_failed"),
    (ssl.SSLError, "tls_failed"),
    (aiohttp.ClientConnectorError, "connection_failed"),
    (aiohttp.ServerDisconnectedError, "connection_lost"),
    (OSError, "connection_lost"),
)
"""The first kind that an error is of: many are of several."""


class Merchants:
    """Calls endpoints; enter it before the first call."""

    def __init__(
        self,
        *,
        timeout: timedelta,
        connections: int,
        private_allowed: bool,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.timeout = timeout
        self._connections = connections
        self._private_allowed = private_allowed
        self._resolve = resolve or self._look_up
        self._trust = trust or ssl.create_default_context()
        # the event loop's own threads would be taken by names whose servers are silent
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="names")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # a kept connection could go on to where a name no longer leads
            connector=aiohttp.TCPConnector(limit=self._connections, force_close=True),
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
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(
        self, url: str, headers: Mapping[str, str], payload: str
    ) -> Answered | Unanswered:
        """Make one call; every failure that can be expected is an answer, not an exception."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                status, retry_after = await self._exchange(URL(url), headers, payload)
        except (_NotPublic, aiohttp.ClientError, OSError, ValueError) as error:
            return Unanswered(_meaning(error), _since(begun))
        return Answered(status, _since(begun), retry_after)

    async def _exchange(
        self, url: URL, headers: Mapping[str, str], payload: str
    ) -> tuple[int, timedelta]:
        if self._session is None:
            raise RuntimeError("enter the client before its first call")
        host = url.host or ""
        address = await self._checked_address(host, url.port or 0)
        async with self._session.post(
            # looked up once: what was checked is what is called
            url.with_host(address),
            data=payload.encode(),
            headers={
                **headers,
                "Host": url.authority,
                "User-Agent": _AGENT,
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
            },
            allow_redirects=False,
            ssl=self._trust,
            server_hostname=host if url.scheme == "https" else None,
        ) as response:
            # the body is nobody's business: leaving here hangs up on whatever still comes
            return response.status, _retry_after(response.headers.get("Retry-After", ""))

    async def _checked_address(self, host: str, port: int) -> str:
        addresses = await self._resolve(host, port)
        if not self._private_allowed and not all(map(hosts.is_public, addresses)):
            raise _NotPublic
        return addresses[0]

    async def _look_up(self, host: str, port: int) -> list[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]


def _meaning(error: Exception) -> DeliveryOutcome:
    return next((outcome for kind, outcome in _MEANINGS if isinstance(error, kind)), "not_http")


def _retry_after(text: str) -> timedelta:
    # seconds alone: a date would need the merchant's clock to be ours
    return timedelta(seconds=int(text) if _SECONDS.fullmatch(text) else 0)


def _since(begun: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - begun)
