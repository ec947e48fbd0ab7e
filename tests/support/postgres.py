"""A database a test, cloned from one in which every service is migrated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
import pytest_asyncio
from devstack import postgres
from devstack.deployment import Deployment
from devstack.dsn import as_role, of_database
from devstack.stack import Stack


@dataclass(frozen=True, slots=True)
class Databases:
    """The suite's database of one test: all four schemas, as superuser or as a service's role."""

    name: str
    admin_dsn: str

    def app_dsn(self, schema: str) -> str:
        """Log in as the role that serves, say of `orders`."""
        return as_role(self.admin_dsn, f"{schema}_app", postgres.PASSWORD)

    def owner_dsn(self, schema: str) -> str:
        """Log in as the role that migrates, say of `orders`."""
        return as_role(self.admin_dsn, f"{schema}_owner", postgres.PASSWORD)


@pytest.fixture(scope="session")
def template_database(stack: Stack) -> str:
    """Migrate all services once; every test's database is a copy."""
    name = f"template-{uuid4()}"
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_create_template(stack, name))
    return name


@pytest_asyncio.fixture
async def databases(stack: Stack, template_database: str) -> AsyncIterator[Databases]:
    """Give the test a database of its own, migrated and empty."""
    name = f"test-{uuid4()}"
    await postgres.create_database(stack.admin_dsn, name, template=template_database)
    yield Databases(name, of_database(stack.admin_dsn, name))
    await postgres.drop_database(stack.admin_dsn, name)


@pytest_asyncio.fixture
async def empty_databases(stack: Stack) -> AsyncIterator[Databases]:
    """Give the test a database with schemas and roles and without any table, to migrate itself."""
    name = f"test-{uuid4()}"
    await _create_bare(stack, name)
    yield Databases(name, of_database(stack.admin_dsn, name))
    await postgres.drop_database(stack.admin_dsn, name)


async def _create_template(stack: Stack, name: str) -> None:
    await _create_bare(stack, name)
    await Deployment(stack, of_database(stack.admin_dsn, name)).migrate()


async def _create_bare(stack: Stack, name: str) -> None:
    await postgres.create_database(stack.admin_dsn, name)
    await postgres.bootstrap(of_database(stack.admin_dsn, name))
