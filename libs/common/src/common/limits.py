"""How often one caller may call: token buckets in this process, shared with others by a tally."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import Scope

from common import problem, telemetry
from common.due import pause
from common.errors import Refusal
from common.settings import LimitSettings, Rate

if TYPE_CHECKING:
    from common.auth import Principal, TokenVerifier
    from common.tally import Tally

_EXCHANGE = 0.1
"""Seconds between two exchanges: what several processes may let pass too much is what comes in it,
and a request never waits for one."""

_MOST_BUCKETS = 100_000
"""Callers remembered, at some 200 bytes each; who has not called for longest is forgotten first."""

_LEVELS = "pedido.limits"
"""Where in a request's scope its answer finds what to tell of its buckets."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A kind of bucket: what it is called, how much it holds and how fast it fills."""

    name: str
    rate: Rate

    def key(self, caller: str) -> str:
        """Name one caller's bucket."""
        return f"{self.name}:{caller}"


@dataclass(frozen=True, slots=True)
class Level:
    """What one request found in one bucket."""

    policy: Policy
    owed: float
    """Seconds until the bucket is full."""

    def written(self) -> tuple[str, str]:
        """Write it as `RateLimit-Policy` and `RateLimit` have it."""
        name, rate = self.policy.name, self.policy.rate
        remaining = max(0, int((rate.window - self.owed) / rate.interval))
        policy = f'"{name}";q={rate.quota};w={math.ceil(rate.window)}'
        return policy, f'"{name}";r={remaining};t={math.ceil(self.owed)}'


class Buckets:
    """Every caller's bucket as this process knows it: the time at which it is full again."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}
        self._unshared: dict[str, float] = {}

    def take(self, policy: Policy, caller: str) -> Level:
        """Take a token, or refuse if there is none."""
        key, now, rate = policy.key(caller), time.monotonic(), policy.rate
        owed = max(0.0, self._full_at.get(key, 0.0) - now) + rate.interval
        if owed > rate.window:
            raise refusal(policy, owed - rate.window)
        self._remember(key, now + owed)
        self._unshared[key] = self._unshared.get(key, 0.0) + rate.interval
        return Level(policy, owed)

    def unshared(self) -> dict[str, float]:
        """Hand over what was spent since the last time."""
        spent, self._unshared = self._unshared, {}
        return spent

    def learn(self, key: str, owed: float) -> None:
        """Believe the tally, and add what was spent while it was asked."""
        self._remember(key, time.monotonic() + owed + self._unshared.get(key, 0.0))

    def _remember(self, key: str, full_at: float) -> None:
        if self._full_at.pop(key, None) is None and len(self._full_at) >= _MOST_BUCKETS:
            forgotten = next(iter(self._full_at))
            del self._full_at[forgotten]
            self._unshared.pop(forgotten, None)
        self._full_at[key] = full_at


class Limits:
    """A service's rate limits. Without Valkey each process counts by itself: requests go on."""

    def __init__(
        self, settings: LimitSettings, *, service: str, verifier: TokenVerifier | None
    ) -> None:
        self._settings = settings
        self._service = service
        self._verifier = verifier
        self._buckets = Buckets()
        self._tally: Tally | None = None
        self._by_address = Policy("address", settings.rate_limit_address)
        self._by_principal = Policy("principal", settings.rate_limit_principal)

    def admit(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Count a request for whom its token was seen to name, else for its address; or refuse.

        Callers behind one address so have a bucket each, once they are known.
        """
        principal = self._recall(headers.get(b"authorization"))
        if principal is None:
            level = self._buckets.take(self._by_address, address_of(scope))
        else:
            level = self._buckets.take(self._by_principal, principal.id.hex)
        scope[_LEVELS] = [level]

    async def hit(self, request: Request, policy: Policy, caller: str) -> None:
        """Take a token of a route's own bucket, counted exactly among all processes; or refuse.

        `caller` ends up in Valkey: give a hash of what is personal.
        """
        level = await self._hit_shared(policy, caller) or self._buckets.take(policy, caller)
        request.scope.setdefault(_LEVELS, []).append(level)

    async def run(self, stop: asyncio.Event) -> None:
        """Exchange what was spent with the other processes, until told to stop."""
        if self._settings.redis_url is None:
            await stop.wait()
            return
        from common.tally import Tally  # noqa: PLC0415  16 MiB that only the API's process needs

        self._tally = Tally(self._settings.redis_url, f"pedido:rate:{self._service}:")
        try:
            while not stop.is_set():
                await pause(stop, _EXCHANGE)
                await self._exchange(self._tally)
        finally:
            await self._tally.close()
            self._tally = None

    def _recall(self, authorization: bytes | None) -> Principal | None:
        if authorization is None or self._verifier is None:
            return None
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        return self._verifier.recall(token.strip()) if scheme.lower() == "bearer" else None

    async def _hit_shared(self, policy: Policy, caller: str) -> Level | None:
        if self._tally is None:
            return None
        rate = policy.rate
        answers = await self._tally.spend([(policy.key(caller), rate.interval, rate.window)])
        if answers is None:
            return None
        ((owed, refused),) = answers
        if refused:
            raise refusal(policy, owed + rate.interval - rate.window)
        return Level(policy, owed)

    async def _exchange(self, tally: Tally) -> None:
        spent = self._buckets.unshared()
        if not spent:
            return
        answers = await tally.spend([(key, seconds, None) for key, seconds in spent.items()])
        for key, (owed, _) in zip(spent, answers or (), strict=False):
            self._buckets.learn(key, owed)


def limits_of(request: Request) -> Limits:
    """Find the limits of the application that a request is for."""
    limits: Limits = request.app.state.limits
    return limits


def refusal(policy: Policy, wait: float) -> Refusal:
    """Say when a bucket has a token again."""
    telemetry.RATE_LIMITED.labels(policy.name).inc()
    return Refusal(
        "rate_limited", problem.MEANINGS["rate_limited"], status=429, retry_after=max(wait, 0.0)
    )


def headers_of(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Tell in an answer's headers what the request found in its buckets."""
    levels: Sequence[Level] = scope.get(_LEVELS, ())
    if not levels:
        return []
    policies, rates = zip(*(level.written() for level in levels), strict=True)
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(rates).encode()),
    ]


def address_of(scope: Scope) -> str:
    """Name where a request came from; one customer of IPv6 has a whole /64."""
    host = str(client[0]) if (client := scope.get("client")) else ""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped:  # how a socket for both names a customer of IPv4
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
