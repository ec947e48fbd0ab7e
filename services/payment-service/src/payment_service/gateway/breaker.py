"""One adapter over pybreaker: safe around an await, and opened by the rate of failures."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from common import telemetry
from pybreaker import (
    STATE_CLOSED,
    STATE_HALF_OPEN,
    STATE_OPEN,
    CircuitBreaker,
)

_STATES = (STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN)
_SLICES = 10
"""A window slides by a tenth of itself: one count a slice, however many calls there are."""

_log = telemetry.get_logger()


class CircuitOpen(Exception):
    """No call was made: the provider is given time to recover, for so long."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(after)
        self.after = after


@dataclass(frozen=True, slots=True)
class Threshold:
    """What opens a breaker: so many calls within the window, and this share of them failed."""

    calls: int
    failed: float
    window: timedelta


class _Window:
    """The calls of the last moments, counted in slices of time."""

    def __init__(self, threshold: Threshold, clock: Callable[[], float]) -> None:
        self._threshold = threshold
        self._clock = clock
        self._slice = threshold.window.total_seconds() / _SLICES
        self._counts: deque[list[int]] = deque()
        self._calls = self._failed = 0

    def clear(self) -> None:
        self._counts.clear()
        self._calls = self._failed = 0

    def add(self, *, failed: bool) -> None:
        now = int(self._clock() / self._slice)
        while self._counts and self._counts[0][0] <= now - _SLICES:
            _, calls, failures = self._counts.popleft()
            self._calls -= calls
            self._failed -= failures
        if not self._counts or self._counts[-1][0] != now:
            self._counts.append([now, 0, 0])
        self._counts[-1][1] += 1
        self._counts[-1][2] += failed
        self._calls += 1
        self._failed += failed

    @property
    def is_over(self) -> bool:
        most = self._calls * self._threshold.failed
        return self._calls >= self._threshold.calls and self._failed >= most


class Breaker:
    """Opens when too large a share of the latest calls failed; then lets one at a time probe."""

    def __init__(
        self,
        name: str,
        threshold: Threshold,
        *,
        open_for: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        # pybreaker raises its own error in place of the cause unless it is told not to.
        self._breaker = CircuitBreaker(
            exclude=[asyncio.CancelledError], throw_new_error_on_trip=False
        )
        self._clock = clock
        self._open_for = open_for
        self._open_until = clock()
        self._window = _Window(threshold, clock)
        self._is_probed = False
        self._shown = ""
        self._show_state()

    @property
    def state(self) -> str:
        """Name the state: closed, half-open or open."""
        return str(self._breaker.current_state)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Guard the call in the block: any exception but a cancellation is a failure.

        Raises CircuitOpen, without running the block, while the provider is given time.
        """
        try:
            with self._counting() if self.state == STATE_CLOSED else self._probing():
                yield
        except CircuitOpen:
            self._count("refused")
            raise
        except Exception:
            self._count("failed")
            raise
        else:
            self._count("succeeded")
        finally:
            self._show_state()

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._note(failed=True)
            raise
        else:
            self._note(failed=False)

    @contextmanager
    def _probing(self) -> Iterator[None]:
        """Let one call through once it is time, and have pybreaker judge by it.

        pybreaker never trips when it decorates an `async def`: it sees the coroutine made, not
        what became of it. So the block holds the await.
        """
        # pybreaker lets everyone through while half-open; we let the first one through.
        if self._is_probed or self._clock() < self._open_until:
            raise CircuitOpen(timedelta(seconds=max(0.0, self._open_until - self._clock())))
        # It would wait by the wall clock, which leaps.
        self._breaker.half_open()
        self._is_probed = True
        self._show_state()
        try:
            with self._breaker.calling():
                yield
        except asyncio.CancelledError:
            # pybreaker takes an excluded exception for a success: a cancelled probe would close.
            self._breaker.half_open()
            raise
        except Exception:
            self._open()
            raise
        finally:
            self._is_probed = False

    def _note(self, *, failed: bool) -> None:
        """Count a call's end; one that began before the breaker opened tells nothing new."""
        if self.state != STATE_CLOSED:
            return
        self._window.add(failed=failed)
        if failed and self._window.is_over:
            self._open()

    def _open(self) -> None:
        self._window.clear()
        self._open_until = self._clock() + self._open_for.total_seconds()
        self._breaker.open()

    def _count(self, result: str) -> None:
        telemetry.BREAKER_CALLS.labels(self.name, result).inc()

    def _show_state(self) -> None:
        state = self.state
        if state == self._shown:
            return
        for each in _STATES:
            telemetry.BREAKER_STATE.labels(self.name, each).set(each == state)
        if self._shown:
            telemetry.BREAKER_TRANSITIONS.labels(self.name, state).inc()
            _log.warning("circuit breaker changed", name=self.name, state=state)
        self._shown = state
