"""The traps of pybreaker around an await, each held open."""

import asyncio
from datetime import timedelta

import pytest
from common import telemetry
from payment_service.gateway.breaker import Breaker, CircuitOpen


class ServerFailed(Exception):
    """Stands for a failed call."""


async def fail() -> None:
    await asyncio.sleep(0)
    raise ServerFailed


async def succeed() -> None:
    await asyncio.sleep(0)


async def failing(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServerFailed), breaker.calling():
            await fail()


def breaker(open_for: timedelta = timedelta(hours=1)) -> Breaker:
    return Breaker("provider", failures=3, open_for=open_for)


async def test_failures_of_awaited_calls_open_it() -> None:
    guard = breaker()

    await failing(guard, 3)

    assert guard.state == "open"
    with pytest.raises(CircuitOpen), guard.calling():
        pytest.fail("the call was made")


async def test_a_success_in_between_begins_the_count_anew() -> None:
    guard = breaker()

    await failing(guard, 2)
    with guard.calling():
        await succeed()
    await failing(guard, 2)

    assert guard.state == "closed"


async def half_open(guard: Breaker) -> asyncio.Task[None]:
    """Open it for no time at all, and begin a probe that waits."""
    await failing(guard, 3)
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


async def test_a_probe_that_succeeds_closes_it() -> None:
    guard = breaker(open_for=timedelta(0))
    await failing(guard, 3)

    with guard.calling():
        await succeed()

    assert guard.state == "closed"


async def test_a_probe_that_fails_opens_it_again() -> None:
    guard = breaker(open_for=timedelta(0))

    await failing(guard, 4)

    assert guard.state == "open"


async def test_a_cancelled_probe_decides_nothing_and_frees_its_place() -> None:
    guard = breaker(open_for=timedelta(0))
    probe = await half_open(guard)

    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert guard.state == "half-open"
    with guard.calling():
        await succeed()
    assert guard.state == "closed"


async def test_cancelled_calls_never_open_it() -> None:
    guard = breaker()

    for _ in range(5):
        with pytest.raises(asyncio.CancelledError), guard.calling():
            raise asyncio.CancelledError

    assert guard.state == "closed"


async def test_its_state_is_a_metric() -> None:
    guard = breaker()

    await failing(guard, 3)

    states = {
        sample.labels["state"]: sample.value
        for metric in telemetry.BREAKER_STATE.collect()
        for sample in metric.samples
        if sample.labels["name"] == "provider"
    }
    assert states == {"closed": 0, "half-open": 0, "open": 1}
