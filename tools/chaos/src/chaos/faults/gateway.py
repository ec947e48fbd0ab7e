"""A gateway that misbehaves as a whole, for a while."""

from __future__ import annotations

import asyncio

import httpx2
from devstack.simulator.moods import Mood
from devstack.topology import GATEWAY_KEY

from chaos.fault import Injection
from chaos.town import Town

_REFUNDS = "/v1/refunds"


async def broken(town: Town, injection: Injection) -> int:
    """Answer 500 to everything."""
    return await _feel(town, injection.seconds, Mood.BROKEN)


async def busy(town: Town, injection: Injection) -> int:
    """Answer 429 to everything, and when to come again."""
    return await _feel(town, injection.seconds, Mood.BUSY)


async def garbage(town: Town, injection: Injection) -> int:
    """Do as told, and answer 200 with what nobody can read."""
    return await _feel(town, injection.seconds, Mood.GARBAGE)


async def wrong_amount(town: Town, injection: Injection) -> int:
    """Do as told, and tell of another amount."""
    return await _feel(town, injection.seconds, Mood.WRONG_AMOUNT)


async def no_refunds(town: Town, injection: Injection) -> int:
    """Fail every refund."""
    return await _feel(town, injection.seconds, Mood.BROKEN, _REFUNDS)


async def _feel(town: Town, seconds: float, mood: Mood, path: str = "/") -> int:
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    async with httpx2.AsyncClient(base_url=town.stack.gateway_url, headers=headers) as http:
        (await http.put("/mood", json={"mood": mood, "path": path})).raise_for_status()
        try:
            await asyncio.sleep(seconds)
        finally:
            (await http.put("/mood", json={"mood": Mood.FINE})).raise_for_status()
    return 1
