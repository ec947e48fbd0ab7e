"""A database password that changes while the service works: from its file, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from common.database import Database
from common.errors import Unavailable
from common.settings import PostgresSettings, load
from devstack.dsn import as_role

from tests.support.postgres import Databases
from tests.support.waiting import eventually

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = pytest.mark.postgres


class Role:
    """A login of the test's own, whose password stands in a file."""

    def __init__(self, admin: Admin, dsn: str, file: Path) -> None:
        self.name = f"rotating_{uuid4().hex}"
        self._admin = admin
        self._dsn = dsn
        self._file = file

    async def create(self) -> None:
        await self._admin.execute(
            f"CREATE ROLE {self.name} LOGIN PASSWORD 'old' IN ROLE inventory_app"
        )
        self.write("old")

    def write(self, password: str) -> None:
        self._file.write_text(as_role(self._dsn, self.name, password) + "\n")

    async def change(self, password: str) -> None:
        await self._admin.execute(f"ALTER ROLE {self.name} PASSWORD '{password}'")

    async def hang_up(self) -> None:
        await self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", self.name
        )


@pytest_asyncio.fixture
async def role(empty_databases: Databases, admin: Admin, tmp_path: Path) -> AsyncIterator[Role]:
    role = Role(admin, empty_databases.admin_dsn, tmp_path / "dsn")
    await role.create()
    yield role
    await role.hang_up()
    await admin.execute(f"DROP ROLE {role.name}")


@pytest_asyncio.fixture
async def rotating(
    role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "dsn"))
    monkeypatch.setenv("DB_SCHEMA", "public")
    database = Database(load(PostgresSettings), name=role.name)
    yield database
    await database.close()


async def answers(database: Database) -> bool:
    try:
        async with database.transaction() as tx:
            return bool(await tx.fetchval("SELECT true"))
    except Unavailable:
        return False


async def test_work_goes_on_while_the_password_is_rotated(rotating: Database, role: Role) -> None:
    stop, served = asyncio.Event(), set[int]()

    async def work(number: int) -> None:
        while not stop.is_set():
            if await answers(rotating):
                served.add(number)

    workers = [asyncio.create_task(work(number)) for number in range(4)]
    await eventually(lambda: len(served) == 4)

    await role.change("new")
    role.write("new")
    await role.hang_up()
    served.clear()

    await eventually(lambda: len(served) == 4)
    stop.set()
    await asyncio.gather(*workers)
    direct = await rotating.connect_direct()
    await direct.close()


async def test_a_password_that_is_refused_is_a_database_that_is_away(
    rotating: Database, role: Role
) -> None:
    await role.change("new")

    assert not await answers(rotating)
    with pytest.raises(Unavailable, match="InvalidPassword"):
        await rotating.connect_direct()


async def test_a_file_that_is_being_replaced_is_no_reason_to_stop(
    rotating: Database, tmp_path: Path
) -> None:
    (tmp_path / "dsn").unlink()

    assert await answers(rotating)
