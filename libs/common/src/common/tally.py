"""What all processes spent of their buckets: added up in Valkey, which may be away at any time."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from common import telemetry

_PATIENCE = 0.1
"""Seconds for one exchange: Valkey answers in a hundredth of that, or something is wrong."""

_SHUN = 5.0
"""Seconds without a further try after a failure: nobody waits for a server that is away."""

_NO_LIMIT = -1

_SPEND = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local spent, limit = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local owed = math.max(tonumber(redis.call('GET', key) or 0) - now, 0)
  local refused = limit >= 0 and owed + spent > limit
  if not refused then
    owed = owed + spent
    local full = string.format('%.0f', now + owed)
    redis.call('SET', key, full, 'PX', math.ceil(owed / 1000) + 1)
  end
  answers[2 * i - 1], answers[2 * i] = owed, refused and 1 or 0
end
return answers
"""
"""A bucket is one number, the time at which it is full again, by Valkey's clock alone."""

log = telemetry.get_logger()


Spending: TypeAlias = tuple[str, float, float | None]
"""A bucket's key, the seconds of refill to take, and how many it may then owe, if that counts."""


class Owed(NamedTuple):
    """In how many seconds a bucket is full again, and whether it gave what was asked of it."""

    seconds: float
    refused: bool


class Tally:
    """Adds up what every process spends; has no answer while Valkey is away or slow."""

    def __init__(self, url: SecretStr, prefix: str) -> None:
        self._prefix = prefix
        self._shunned_until = 0.0
        self._reached = True
        self._client: Redis = Redis.from_url(
            url.get_secret_value(), retry=Retry(NoBackoff(), 0), socket_timeout=_PATIENCE
        )
        telemetry.LIMITS_SHARED.set(1)

    async def spend(self, spendings: Sequence[Spending]) -> list[Owed] | None:
        """Take from every bucket at once, in one round trip."""
        if time.monotonic() < self._shunned_until:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                answers = await self._ask(spendings)
        except (RedisError, OSError, TimeoutError) as error:
            self._shun(error)
            return None
        if not self._reached:
            log.info("rate limits are shared again")
            self._reached = True
            telemetry.LIMITS_SHARED.set(1)
        return [
            Owed(owed / 1_000_000, bool(refused))
            for owed, refused in zip(answers[::2], answers[1::2], strict=True)
        ]

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _ask(self, spendings: Sequence[Spending]) -> list[int]:
        keys = [self._prefix + key for key, _, _ in spendings]
        numbers = [n for _, *both in spendings for n in map(_microseconds, both)]
        answers: Any = self._client.eval(_SPEND, len(keys), *keys, *numbers)
        return list(await answers)

    def _shun(self, error: Exception) -> None:
        self._shunned_until = time.monotonic() + _SHUN
        if self._reached:
            log.warning("rate limits are not shared", error_class=type(error).__name__)
        self._reached = False
        telemetry.LIMITS_SHARED.set(0)


def _microseconds(seconds: float | None) -> int:
    return _NO_LIMIT if seconds is None else round(seconds * 1_000_000)
