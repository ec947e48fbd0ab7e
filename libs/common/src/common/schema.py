"""A service's Postgres schema as SQLAlchemy and Alembic know it: for migrations and their tests."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def metadata_for(schema: str) -> MetaData:
    """Make the one metadata of a service's Postgres schema, with named constraints."""
    return MetaData(schema=schema, naming_convention=_NAMING)


def engine_for(dsn: str) -> AsyncEngine:
    """Reach a database as asyncpg does, with the same parameters in the DSN."""
    return create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))


def alembic_config(home: Path) -> Config:
    """Describe a service's migrations to Alembic, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(home / "migrations"))
    return config


def newest(home: Path) -> str | None:
    """Name the newest migration, as Alembic finds it; `migrations/head.txt` must say the same."""
    return ScriptDirectory.from_config(alembic_config(home)).get_current_head()


async def upgrade(owner_dsn: str, home: Path) -> None:
    """Run the migrations that the schema lacks, as its owner."""
    config = alembic_config(home)

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = engine_for(owner_dsn)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()
