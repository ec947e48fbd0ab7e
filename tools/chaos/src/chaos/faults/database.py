"""Sessions that die, locks that are held, and a database that lets nobody in."""

from __future__ import annotations

import asyncio

import asyncpg
from devstack.topology import SERVICES

from chaos.fault import Injection
from chaos.town import Town

_ROWS = 400
_LOCKS = {
    "order": "SELECT FROM orders.orders WHERE settled_at IS NULL LIMIT $1 FOR UPDATE",
    "inventory": "SELECT FROM inventory.stock ORDER BY reserved DESC LIMIT $1 FOR UPDATE",
    "payment": "SELECT FROM payments.payments ORDER BY order_id DESC LIMIT $1 FOR UPDATE",
}
"""Service → what locks rows that its next batches need."""
LOCKED = tuple(_LOCKS)
_BACKWARDS = 60
"""Rows to lock the wrong way round: among the most wanted, so that a batch has some of them."""


async def terminate(town: Town, injection: Injection) -> int:
    """End some sessions of the services, chosen at random."""
    async with town.database() as db:
        rows = await db.fetch(
            "SELECT pid FROM pg_stat_activity WHERE usename LIKE '%\\_app' ORDER BY pid"
        )
        chosen = injection.chance().sample(rows, min(3, len(rows)))
        for row in chosen:
            await db.execute("SELECT pg_terminate_backend($1)", row["pid"])
    await asyncio.sleep(injection.seconds)
    return int(bool(chosen))


async def hold_locks(town: Town, injection: Injection) -> int:
    """Hold the rows that a service needs for longer than it waits for a lock."""
    async with town.database() as db, db.transaction():
        await db.execute(_LOCKS[injection.target], _ROWS)
        await asyncio.sleep(injection.seconds)
    return 1


async def deadlock(town: Town, injection: Injection) -> int:
    """Lock stock one row at a time, backwards, until somebody must give way."""
    async with town.database() as db:
        skus = await db.fetch(
            "SELECT sku FROM (SELECT sku FROM inventory.stock ORDER BY sold DESC LIMIT $1) AS most"
            " ORDER BY sku DESC",
            _BACKWARDS,
        )
        try:
            async with db.transaction():
                for row in skus:
                    await db.execute(
                        "SELECT FROM inventory.stock WHERE sku = $1 FOR UPDATE", row["sku"]
                    )
                    await asyncio.sleep(injection.seconds / len(skus))
        except asyncpg.DeadlockDetectedError:  # it was us
            pass
    return 1


async def exhaust(town: Town, injection: Injection) -> int:
    """Leave a service one connection, and end those that it has."""
    role = SERVICES[injection.target].app
    async with town.database() as db:
        await db.execute(f"ALTER ROLE {role} CONNECTION LIMIT 1")
        try:
            await db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role
            )
            await asyncio.sleep(injection.seconds)
        finally:
            await db.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    return 1


async def hurry(town: Town, injection: Injection) -> int:
    """Let a service's statements take no longer than a few milliseconds."""
    role = SERVICES[injection.target].app
    async with town.database() as db:
        before = await db.fetchval(
            "SELECT split_part(unnest, '=', 2) FROM pg_roles, unnest(rolconfig)"
            " WHERE rolname = $1 AND unnest LIKE 'statement_timeout=%'",
            role,
        )
        try:
            await _limit(db, role, "5ms")
            await asyncio.sleep(injection.seconds)
        finally:
            await _limit(db, role, before)
    return 1


async def _limit(db: asyncpg.Connection[asyncpg.Record], role: str, timeout: str) -> None:
    await db.execute(f"ALTER ROLE {role} SET statement_timeout = '{timeout}'")
    await db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role
    )


async def hold_snapshot(town: Town, injection: Injection) -> int:
    """Keep one transaction open, so that nothing that is deleted meanwhile can be cleaned up."""
    async with town.database() as db, db.transaction(isolation="repeatable_read"):
        await db.fetchval("SELECT count(*) FROM orders.outbox")
        await db.fetchval("SELECT pg_current_xact_id()")
        await asyncio.sleep(injection.seconds)
    return 1
