"""One adapter over pybreaker that is safe around an await."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from common import telemetry
from pybreaker import (
    STATE_CLOSED,
    STATE_HALF_OPEN,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerError,
)

_STATES = (STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN)


class CircuitOpen(Exception):
    """No call was made: the provider is given time to recover."""


class Breaker:
    """Opens after so many failures in a row; then lets one call at a time probe."""

    def __init__(self, name: str, *, failures: int, open_for: timedelta) -> None:
        self.name = name
        # pybreaker raises its own error in place of the cause unless it is told not to.
        self._breaker = CircuitBreaker(
            fail_max=failures,
            reset_timeout=open_for.total_seconds(),
            exclude=[asyncio.CancelledError],
            throw_new_error_on_trip=False,
        )
        self._probing = False
        self._show_state()

    @property
    def state(self) -> str:
        """Name the state: closed, half-open or open."""
        return str(self._breaker.current_state)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Guard the call in the block: any exception but a cancellation is a failure.

        Raises CircuitOpen, without running the block, while the provider is given time. pybreaker
        never trips when it decorates an `async def`: it sees the coroutine made, not what became
        of it. So the block holds the await.
        """
        if self._probing:
            self._count("refused")
            raise CircuitOpen
        probing = False
        try:
            with self._breaker.calling():
                # pybreaker lets everyone through while half-open; we let the first one through.
                probing = self._probing = self.state == STATE_HALF_OPEN
                yield
        except CircuitBreakerError:
            self._count("refused")
            raise CircuitOpen from None
        except asyncio.CancelledError:
            # pybreaker takes an excluded exception for a success: a cancelled probe would close.
            if probing:
                self._breaker.half_open()
            raise
        except Exception:
            self._count("failed")
            raise
        else:
            self._count("succeeded")
        finally:
            if probing:
                self._probing = False
            self._show_state()

    def _count(self, result: str) -> None:
        telemetry.BREAKER_CALLS.labels(self.name, result).inc()

    def _show_state(self) -> None:
        for state in _STATES:
            telemetry.BREAKER_STATE.labels(self.name, state).set(state == self.state)
