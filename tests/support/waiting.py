"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.02


async def eventually(condition: Callable[[], Awaitable[T] | T], deadline: float = 20.0) -> T:
    """Return the first truthy answer of the condition, or fail with its last one.

    A condition may raise AssertionError while it does not hold yet; the last one is shown.
    """
    until = time.monotonic() + deadline
    while True:
        last: T | AssertionError
        try:
            last = await _ask(condition)
        except AssertionError as error:
            last = error
        else:
            if last:
                return last
        if time.monotonic() > until:
            message = f"not within {deadline:g} s; in the end it was {last!r}"
            raise AssertionError(message)
        await asyncio.sleep(_POLL_SECONDS)


async def _ask(condition: Callable[[], Awaitable[T] | T]) -> T:
    answer = condition()
    return await answer if inspect.isawaitable(answer) else answer
