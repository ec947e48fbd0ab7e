"""Links that are held, slowed, refused, and cut at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from chaos import links
from chaos.fault import Injection
from chaos.proxy import CLEAR, Toxic
from chaos.town import Town

HELD = Toxic(held=True)
_SLOW = Toxic(latency=0.05, jitter=0.2)
_COMMIT = Toxic(cut_reply_to=b"COMMIT")
_TRICKLE = Toxic(rate=200)
"""Bytes a second: no answer of the gateway is complete before the client's patience ends."""
_MID_BODY = Toxic(cut_after=150)
"""Bytes: within the headers or the body of any of the gateway's answers."""


async def hold(town: Town, injection: Injection) -> int:
    """Let nothing through in either direction."""
    return await _lasting(town, injection, up=HELD, down=HELD)


async def hold_requests(town: Town, injection: Injection) -> int:
    """Let only answers through."""
    return await _lasting(town, injection, up=HELD)


async def hold_answers(town: Town, injection: Injection) -> int:
    """Let requests through, and no answer."""
    return await _lasting(town, injection, down=HELD)


async def refuse(town: Town, injection: Injection) -> int:
    """Reset what is open and whatever comes."""
    with _changed(town, injection.target, refuses=True):
        await asyncio.sleep(injection.seconds)
    return 1


async def slow(town: Town, injection: Injection) -> int:
    """Add latency and jitter in both directions."""
    return await _lasting(town, injection, up=_SLOW, down=_SLOW)


async def reset(town: Town, injection: Injection) -> int:
    """Reset what is open, once."""
    town.links[injection.target].reset()
    await asyncio.sleep(injection.seconds)
    return 1


async def lose_commits(town: Town, injection: Injection) -> int:
    """Cut a session after each COMMIT that is sent, before its answer; answers how many."""
    proxy = town.links[f"{injection.target}-postgres"]
    before = proxy.resets
    await _lasting(town, injection, up=_COMMIT, target=proxy.name)
    return proxy.resets - before


async def trickle(town: Town, injection: Injection) -> int:
    """Let answers through so slowly that patience ends first."""
    return await _lasting(town, injection, down=_TRICKLE)


async def cut_answers(town: Town, injection: Injection) -> int:
    """Reset each connection in the middle of an answer."""
    return await _lasting(town, injection, down=_MID_BODY)


async def lose_answers_for_longer_than_keys(town: Town, injection: Injection) -> int:
    """Charge and lose the answers, until the keys under which it was done are worth nothing."""
    settings = {"PAYMENT_KEY_LIFE": f"{injection.seconds / 2:g}s"}
    async with town.configured({"payment": settings}):
        await asyncio.sleep(injection.seconds)  # it runs again, and some are being charged
        with _changed(town, links.GATEWAY, down=HELD):
            await asyncio.sleep(injection.seconds)
        town.links[links.GATEWAY].reset()
        await asyncio.sleep(injection.seconds)
    return 1


async def _lasting(
    town: Town, injection: Injection, *, up: Toxic = CLEAR, down: Toxic = CLEAR, target: str = ""
) -> int:
    with _changed(town, target or injection.target, up=up, down=down):
        await asyncio.sleep(injection.seconds)
    return 1


@contextmanager
def _changed(
    town: Town, link: str, *, up: Toxic = CLEAR, down: Toxic = CLEAR, refuses: bool = False
) -> Iterator[None]:
    proxy = town.links[link]
    proxy.set(up=up, down=down, refuses=refuses)
    try:
        yield
    finally:
        proxy.heal()
