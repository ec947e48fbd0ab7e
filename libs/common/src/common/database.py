"""The way to Postgres: a pool, transactions, and bells that ring at commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from common import telemetry
from common.errors import Contended, Unavailable
from common.settings import PostgresSettings

_COMMAND_TIMEOUT = 15.0
"""Seconds: above the roles' statement_timeout, for a server that is silent instead of slow."""
_CLOSE_TIMEOUT = 3.0

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,  # connections, memory, the disk: none is a message's fault
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or a primary that was told to be one
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that is being rotated
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement sent on while the server's last word came in
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    ConnectionError,
    TimeoutError,
)
_CONTENDED = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)

_BEGUN = "SELECT now()"
_BEGUN_BY_KEY = """
SELECT now(), set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_seqscan', 'off', true)
"""
"""A statement that finds its rows by key has one good plan, and making it anew takes longer than a
small batch; by index even where the table is empty as yet: the plan stays when it grows."""

_BY_INDEX = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}
"""For the relay: a plan made while the outbox is empty is kept when a backlog fills it."""


@contextmanager
def failures_named() -> Iterator[None]:
    """Turn the driver's many exceptions into the two that callers act on."""
    try:
        yield
    except _CONTENDED as error:
        raise Contended(type(error).__name__) from error
    except _AWAY as error:
        raise Unavailable(f"the database is away: {type(error).__name__}") from error


@contextmanager
def _reaching() -> Iterator[None]:
    """Count as away, too, what has no address or no route."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the database is away: {type(error).__name__}") from error


class Bell:
    """Wakes the loops of this process that wait for work a commit just made."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or the next who does."""
        self._rung.set()

    async def wait(self, timeout: float) -> bool:
        """Wait until rung, at most `timeout` seconds; tell which it was."""
        try:
            async with asyncio.timeout(timeout):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


@dataclass(slots=True)
class Transaction:
    """One transaction."""

    raw: PoolConnectionProxy[asyncpg.Record]
    now: datetime
    """The database's clock when the transaction began: the only clock for due times."""
    rung: set[str] = field(default_factory=set)

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """Run a statement and get its rows."""
        return await self.raw.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None:
        """Run a statement and get its first row, if any."""
        return await self.raw.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """Run a statement and get the first value of its first row."""
        return await self.raw.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        """Run a statement and get its command tag."""
        return await self.raw.execute(sql, *args)

    def ring(self, bell: str) -> None:
        """Ring a bell after the commit, and not at all if there is none."""
        self.rung.add(bell)


class Database:
    """One service's schema in Postgres."""

    def __init__(self, settings: PostgresSettings, *, name: str) -> None:
        self.settings = settings
        self.name = name
        self._bells: dict[str, Bell] = {}
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @asynccontextmanager
    async def transaction(self, *, by_key: bool = False) -> AsyncIterator[Transaction]:
        """Open a transaction: it commits when the block ends, and rolls back when it raises.

        `by_key` says that all its statements find their rows by key: each is then planned once.
        Raises Unavailable when the database is away (a lost commit's outcome is unknown), and
        Contended for lock and statement time-outs, deadlocks and serialisation failures.
        """
        cancelled: asyncio.CancelledError | None = None
        try:
            with failures_named():
                async with self._connection() as connection, connection.transaction():
                    try:
                        now = await connection.fetchval(_BEGUN_BY_KEY if by_key else _BEGUN)
                        tx = Transaction(connection, now)
                        yield tx
                    except asyncio.CancelledError as error:
                        cancelled = error
                        raise
        except Unavailable:
            if cancelled is not None:  # the roll-back failed, too: that must not hide it
                raise cancelled from None
            raise
        for name in tx.rung:
            self.bell(name).ring()

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """Run one statement by itself: it sees one moment, and costs one exchange.

        Raises what a transaction raises.
        """
        with failures_named():
            async with self._connection() as connection:
                return await connection.fetch(sql, *args)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
        pool = await self._open_pool()
        with _reaching():
            connection = await pool.acquire(timeout=self.settings.db_pool_timeout.total_seconds())
        telemetry.DB_POOL.labels("in_use").inc()
        try:
            yield connection
        except asyncpg.ReadOnlySQLTransactionError:
            # It was the primary once: by now the address may lead to another server.
            await pool.expire_connections()
            raise
        finally:
            telemetry.DB_POOL.labels("in_use").dec()
            await pool.release(connection)

    async def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            # It connects when asked to: a service starts while its database is away.
            self._pool = asyncpg.create_pool(
                connect=self._connect,
                min_size=0,
                max_size=self.settings.db_pool_size,
                timeout=self.settings.db_connect_timeout.total_seconds(),
                command_timeout=_COMMAND_TIMEOUT,
                server_settings={
                    "search_path": self.settings.db_schema,
                    "application_name": self.name,
                },
                reset=_leave_as_it_is,
            )
        return await self._pool

    async def _connect(self, *_dsn: object, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self.settings.dsn(), **options
        )
        return connection

    def bell(self, name: str) -> Bell:
        """Get the bell of that name; loops wait on it, transactions ring it."""
        return self._bells.setdefault(name, Bell())

    async def connect_direct(self) -> asyncpg.Connection[asyncpg.Record]:
        """Open a connection of its own, past any pooler: for session locks."""
        settings = self.settings
        with failures_named(), _reaching():
            return await asyncpg.connect(
                settings.direct_dsn(),
                timeout=settings.db_connect_timeout.total_seconds(),
                command_timeout=_COMMAND_TIMEOUT,
                server_settings={
                    "search_path": settings.db_schema,
                    "application_name": f"{self.name}-relay",
                    "idle_session_timeout": "10s",
                    **_BY_INDEX,
                },
            )

    async def close(self) -> None:
        """Close every pooled connection; one that does not answer is dropped."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await pool.close()
            except TimeoutError:
                pool.terminate()


async def _leave_as_it_is(_: asyncpg.Connection[asyncpg.Record]) -> None:
    """Spare a round trip: neither transactions nor single statements leave anything behind."""
