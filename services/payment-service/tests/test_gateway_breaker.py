"""When the breaker opens, and the traps of pybreaker around an await, each held open."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from common import telemetry
from payment_service.gateway.breaker import Breaker, CircuitOpen, Threshold

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

THRESHOLD = Threshold(calls=4, failed=0.5, window=timedelta(seconds=10))


class ServerFailed(Exception):
    """Stands for a failed call."""


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


async def fail() -> None:
    await asyncio.sleep(0)
    raise ServerFailed


async def failing(guard: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServerFailed), guard.calling():
            await fail()


async def succeeding(guard: Breaker, times: int) -> None:
    for _ in range(times):
        with guard.calling():
            await asyncio.sleep(0)


def breaker(open_for: timedelta = timedelta(hours=1), clock: Clock | None = None) -> Breaker:
    return Breaker("provider", THRESHOLD, open_for=open_for, clock=clock or Clock())


async def test_failures_of_awaited_calls_open_it() -> None:
    guard = breaker()

    await failing(guard, 4)

    assert guard.state == "open"
    with pytest.raises(CircuitOpen), guard.calling():
        pytest.fail("the call was made")


async def test_too_few_calls_tell_nothing_however_many_of_them_failed() -> None:
    guard = breaker()

    await failing(guard, 3)

    assert guard.state == "closed"


async def test_every_second_call_failing_opens_it_without_two_failures_in_a_row() -> None:
    guard = breaker()

    for _ in range(2):
        await succeeding(guard, 1)
        await failing(guard, 1)

    assert guard.state == "open"


async def test_failures_in_a_row_are_no_matter_among_many_calls_that_succeed() -> None:
    guard = breaker()

    await succeeding(guard, 20)
    await failing(guard, 19)

    assert guard.state == "closed"
    await failing(guard, 1)
    assert guard.state == "open"


async def test_what_lies_behind_the_window_no_longer_counts() -> None:
    clock = Clock()
    guard = breaker(clock=clock)

    await succeeding(guard, 100)
    clock.now += 9
    await failing(guard, 3)
    clock.now += 1
    assert guard.state == "closed"
    await failing(guard, 1)

    assert guard.state == "open"


async def test_failures_that_lie_far_apart_never_open_it() -> None:
    clock = Clock()
    guard = breaker(clock=clock)

    for _ in range(20):
        await failing(guard, 1)
        clock.now += 5

    assert guard.state == "closed"


async def half_open(guard: Breaker) -> asyncio.Task[None]:
    """Open it for no time at all, and begin a probe that waits."""
    await failing(guard, 4)
    begun = asyncio.Event()

    async def probe() -> None:
        with guard.calling():
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(probe())
    await begun.wait()
    return task


async def test_half_open_lets_one_probe_through() -> None:
    guard = breaker(open_for=timedelta(0))

    probe = await half_open(guard)

    assert guard.state == "half-open"
    for _ in range(2):
        with pytest.raises(CircuitOpen), guard.calling():
            pytest.fail("a second probe was made")
    probe.cancel()


async def test_calls_that_end_after_it_opened_do_not_disturb_the_probe() -> None:
    guard = breaker(open_for=timedelta(0))
    go_on = asyncio.Event()

    async def slow() -> None:
        with guard.calling():
            await go_on.wait()
            raise ServerFailed

    begun_before = [asyncio.create_task(slow()) for _ in range(4)]
    await asyncio.sleep(0)
    probe = await half_open(guard)

    go_on.set()
    await asyncio.gather(*begun_before, return_exceptions=True)

    assert guard.state == "half-open"
    probe.cancel()


async def test_a_probe_that_succeeds_closes_it_and_the_count_begins_anew() -> None:
    guard = breaker(open_for=timedelta(0))
    await failing(guard, 4)

    await succeeding(guard, 1)

    assert guard.state == "closed"
    await failing(guard, 3)
    assert guard.state == "closed"


async def test_a_probe_that_fails_opens_it_again() -> None:
    guard = breaker(open_for=timedelta(0))

    await failing(guard, 5)

    assert guard.state == "open"


async def test_a_cancelled_probe_decides_nothing_and_frees_its_place() -> None:
    guard = breaker(open_for=timedelta(0))
    probe = await half_open(guard)

    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert guard.state == "half-open"
    await succeeding(guard, 1)
    assert guard.state == "closed"


async def test_cancelled_calls_never_open_it() -> None:
    guard = breaker()

    for _ in range(5):
        with pytest.raises(asyncio.CancelledError), guard.calling():
            raise asyncio.CancelledError

    assert guard.state == "closed"


def shown(metric: Gauge | Counter) -> dict[str, float]:
    """See what a metric says of this breaker, by state."""
    return {
        sample.labels["state"]: sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.labels["name"] == "provider" and not sample.name.endswith("_created")
    }


async def test_its_state_and_its_changes_are_metrics_and_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    guard = breaker(open_for=timedelta(0))
    before = shown(telemetry.BREAKER_TRANSITIONS)

    await failing(guard, 4)

    assert shown(telemetry.BREAKER_STATE) == {"closed": 0, "half-open": 0, "open": 1}
    await succeeding(guard, 5)
    assert shown(telemetry.BREAKER_STATE) == {"closed": 1, "half-open": 0, "open": 0}
    after = shown(telemetry.BREAKER_TRANSITIONS)
    made = {state: count - before.get(state, 0) for state, count in after.items()}
    assert made == {"open": 1, "half-open": 1, "closed": 1}
    assert capsys.readouterr().out.count("circuit breaker changed") == 3


async def test_a_cancelled_probe_is_no_change() -> None:
    guard = breaker(open_for=timedelta(0))
    probe = await half_open(guard)
    before = shown(telemetry.BREAKER_TRANSITIONS)

    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert shown(telemetry.BREAKER_TRANSITIONS) == before
