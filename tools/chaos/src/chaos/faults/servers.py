"""Servers that are stopped, killed, away and frozen: broker, database, cache, gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
from devstack.ports import accepts
from redis.asyncio import Redis

from chaos.fault import Injection
from chaos.links import port_of
from chaos.town import Town, until

_END_SECONDS = 60.0
"""A broker that is told to end takes some seconds, a database with many sessions one."""


async def broker_ends(town: Town, injection: Injection) -> int:
    """Stop the broker with SIGTERM and start it again."""
    return await _restart(town, "kafka", signal.SIGTERM, injection.seconds)


async def broker_dies(town: Town, injection: Injection) -> int:
    """Kill the broker and start it again."""
    return await _restart(town, "kafka", signal.SIGKILL, injection.seconds)


async def broker_frozen(town: Town, injection: Injection) -> int:
    """Freeze the broker: connections stay, nothing answers."""
    return await _freeze(town, "kafka", injection.seconds)


async def database_fast(town: Town, injection: Injection) -> int:
    """Restart the database as `pg_ctl -m fast` does: sessions are ended."""
    return await _restart(town, "postgres", signal.SIGINT, injection.seconds)


async def database_immediate(town: Town, injection: Injection) -> int:
    """Restart the database as `pg_ctl -m immediate` does: it recovers as after a crash."""
    return await _restart(town, "postgres", signal.SIGQUIT, injection.seconds)


async def cache_flushed(town: Town, injection: Injection) -> int:
    """Forget everything that is cached."""
    async with Redis.from_url(town.stack.redis_url) as cache:
        await cache.flushall()
    await asyncio.sleep(injection.seconds)
    return 1


async def cache_frozen(town: Town, injection: Injection) -> int:
    """Freeze the cache."""
    return await _freeze(town, "valkey", injection.seconds)


async def cache_dies(town: Town, injection: Injection) -> int:
    """Kill the cache and start it again, empty."""
    return await _restart(town, "valkey", signal.SIGKILL, injection.seconds)


async def gateway_dies(town: Town, injection: Injection) -> int:
    """Kill the gateway and start it again with its ledger."""
    return await _restart(town, "gateway", signal.SIGKILL, injection.seconds)


async def mail_dies(town: Town, injection: Injection) -> int:
    """Kill the mail server and start it again."""
    return await _restart(town, "mail", signal.SIGKILL, injection.seconds)


async def _freeze(town: Town, name: str, seconds: float) -> int:
    pid = town.stack.processes[name].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
    return 1


async def _restart(town: Town, name: str, stop: signal.Signals, away: float) -> int:
    process = town.stack.processes[name]
    process.send(stop)

    async def ended() -> bool:
        return not process.running

    await until(ended, _END_SECONDS, f"{name} ends")
    town.stack.processes.kill(name)
    await asyncio.sleep(away)
    again = town.stack.processes.spawn(process.program)
    await again.ready(_answers(town, name))
    return 1


def _answers(town: Town, name: str) -> Callable[[], Awaitable[bool]]:
    if name == "postgres":
        return lambda: _lets_in(town.stack.admin_dsn)
    stack = town.stack
    urls = {
        "kafka": f"kafka://{stack.bootstrap}",
        "valkey": stack.redis_url,
        "gateway": stack.gateway_url,
        "mail": stack.smtp_url,
    }
    return lambda: accepts(port_of(urls[name]))


async def _lets_in(dsn: str) -> bool:
    with suppress(OSError, asyncpg.PostgresError):
        connection = await asyncpg.connect(dsn)
        await connection.close()
        return True
    return False
