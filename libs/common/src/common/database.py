"""The way to Postgres: engine, transactions that asyncpg and SQLAlchemy share, bells at commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import sqlalchemy
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from common import telemetry
from common.errors import Contended, Unavailable
from common.settings import PostgresSettings

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    ConnectionError,
    TimeoutError,
    sqlalchemy.exc.TimeoutError,
)
_CONTENDED = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


def metadata_for(schema: str) -> MetaData:
    """Make the one metadata of a service's Postgres schema, with named constraints."""
    return MetaData(schema=schema, naming_convention=_NAMING)


def asyncpg_url(dsn: str) -> str:
    """Name the driver in a DSN, as SQLAlchemy wants it; psql and asyncpg want it without."""
    return "postgresql+asyncpg://" + dsn.split("://", 1)[1]


@contextmanager
def failures_named() -> Iterator[None]:
    """Turn the drivers' many exceptions into the two that callers act on."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise _named(error.orig.__cause__ if error.orig else None, error) from error
    except (*_AWAY, *_CONTENDED) as error:
        raise _named(error, error) from error


def _named(cause: BaseException | None, error: BaseException) -> BaseException:
    if isinstance(cause, _CONTENDED):
        return Contended(type(cause).__name__)
    lost = isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated
    if lost or isinstance(cause, (*_AWAY, OSError)):
        return Unavailable(f"the database is away: {type(cause).__name__}")
    return cause or error


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
    """One transaction, for set-based SQL on asyncpg and for SQLAlchemy Core alike."""

    connection: AsyncConnection
    raw: asyncpg.Connection[asyncpg.Record]
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
        self.engine: AsyncEngine = create_async_engine(
            asyncpg_url(settings.database_url.get_secret_value()),
            pool_size=settings.db_pool_size,
            max_overflow=0,
            pool_timeout=settings.db_pool_timeout.total_seconds(),
            connect_args={
                "timeout": settings.db_connect_timeout.total_seconds(),
                "server_settings": {"search_path": settings.db_schema, "application_name": name},
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction: it commits when the block ends, and rolls back when it raises.

        Raises Unavailable when the database is away (a lost commit's outcome is unknown), and
        Contended for lock and statement time-outs, deadlocks and serialisation failures.
        """
        with failures_named():
            async with self.engine.connect() as connection:
                tx = await self._begin(connection)
                try:
                    yield tx
                    await connection.commit()
                except BaseException:
                    if tx.raw.is_closed():
                        await connection.invalidate()
                    raise
        for name in tx.rung:
            self.bell(name).ring()

    async def _begin(self, connection: AsyncConnection) -> Transaction:
        # SQLAlchemy's asyncpg dialect sends BEGIN at its own first statement: a raw statement
        # before it would autocommit and survive the rollback.
        now = (await connection.exec_driver_sql("SELECT now()")).scalar_one()
        raw = (await connection.get_raw_connection()).driver_connection
        if not isinstance(raw, asyncpg.Connection) or not raw.is_in_transaction():
            message = "a raw statement here would autocommit: no transaction was begun"
            raise RuntimeError(message)
        telemetry.DB_POOL.labels("in_use").set(_checked_out(self.engine))
        return Transaction(connection, raw, now)

    def bell(self, name: str) -> Bell:
        """Get the bell of that name; loops wait on it, transactions ring it."""
        return self._bells.setdefault(name, Bell())

    async def connect_direct(self) -> asyncpg.Connection[asyncpg.Record]:
        """Open a connection of its own, past any pooler: for session locks."""
        settings = self.settings
        dsn = settings.database_direct_url or settings.database_url
        with failures_named():
            return await asyncpg.connect(
                dsn.get_secret_value(),
                timeout=settings.db_connect_timeout.total_seconds(),
                server_settings={
                    "search_path": settings.db_schema,
                    "application_name": f"{self.name}-relay",
                    "idle_session_timeout": "10s",
                },
            )

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


def _checked_out(engine: AsyncEngine) -> int:
    pool = engine.pool
    return pool.checkedout() if isinstance(pool, sqlalchemy.pool.QueuePool) else 0
