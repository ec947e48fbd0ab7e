"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
_POLL_SECONDS = 0.02


@overload
async def eventually(condition: Callable[[], Awaitable[T]], deadline: float = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T], deadline: float = ...) -> T: ...
async def eventually(condition: Callable[[], Any], deadline: float = 20.0) -> Any:
    """Return the first truthy answer of the condition, or fail with its last one.

    A condition may raise AssertionError while it does not hold yet; the last one is shown.
    """
    until = time.monotonic() + deadline
    while True:
        late = time.monotonic() > until  # before asking: the machine may have stood still since
        last = await _ask(condition)
        if last and not isinstance(last, AssertionError):
            return last
        if late:
            message = f"not within {deadline:g} s; in the end it was {last!r}"
            raise AssertionError(message)
        await asyncio.sleep(_POLL_SECONDS)


async def _ask(condition: Callable[[], Any]) -> Any:
    try:
        answer = condition()
        return await answer if inspect.isawaitable(answer) else answer
    except AssertionError as error:
        return error
