"""The stack's servers are real, stop with it, and are only started when no address is given."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio
from aiokafka.admin import AIOKafkaAdminClient
from devstack.dsn import as_role
from devstack.postgres import PASSWORD
from devstack.stack import Stack, _quick_place
from devstack.topology import LOCAL

from tests.support.postgres import Databases
from tests.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.kafka, pytest.mark.redis]

_RUNS_A_STACK = """
import asyncio, json, sys
from pathlib import Path
from devstack.dsn import as_role
from devstack.postgres import PASSWORD
from devstack.stack import Stack

async def main():
    async with Stack.start(Path(sys.argv[1])) as stack:
        print(json.dumps(stack.processes.pids), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_every_server_answers_its_own_protocol(stack: Stack) -> None:
    database = await asyncpg.connect(stack.admin_dsn)
    version = await database.fetchval("SHOW server_version_num")
    synchronous = await database.fetchval("SHOW synchronous_commit")
    await database.fetch("SELECT * FROM pg_stat_statements LIMIT 1")
    await database.close()
    broker = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await broker.start()
    cluster = await broker.describe_cluster()
    await broker.close()
    async with redis.asyncio.from_url(stack.redis_url) as valkey:
        answered = await valkey.ping()

    assert int(version) >= 180000
    assert synchronous == "on"
    assert len(cluster["brokers"]) == 1
    assert answered is True


async def test_a_given_address_wins(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", stack.bootstrap)
    monkeypatch.setenv("DATABASE_URL", stack.admin_dsn)
    monkeypatch.setenv("REDIS_URL", stack.redis_url)
    monkeypatch.setenv("SMTP_URL", stack.smtp_url)
    monkeypatch.setenv("PAYMENT_GATEWAY_URL", stack.gateway_url)

    async with Stack.start() as second:
        assert second.processes.pids == {}
        assert second.bootstrap == stack.bootstrap
        assert second.gateway_url == stack.gateway_url


async def test_everything_dies_with_a_killed_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(given, raising=False)
    with _stack_in_another_process(tmp_path / "stack") as parent:
        assert parent.stdout is not None
        pids = json.loads(await asyncio.to_thread(parent.stdout.readline))
        family = psutil.Process(parent.pid).children(recursive=True)
        assert {"kafka", "postgres", "valkey", "mail", "gateway"} <= set(pids)
        assert len(family) > len(pids)  # Postgres' own children and the reaper are in it too

        parent.kill()

        await eventually(lambda: not [child for child in family if child.is_running()], 15)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE orders.mine (a int)",
        "SELECT * FROM payments.payments",
        "CREATE TABLE public.mine (a int)",
        "DROP TABLE orders.orders",
        "SET ROLE orders_owner",
    ],
)
async def test_a_service_can_touch_nothing_but_its_own_rows(
    databases: Databases, statement: str
) -> None:
    connection = await asyncpg.connect(databases.app_dsn("orders"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
        assert await connection.fetchval("SELECT count(*) FROM orders.orders") == 0
    finally:
        await connection.close()


async def test_a_service_can_make_no_table_of_its_own_not_even_for_a_moment(stack: Stack) -> None:
    # On the suite's own database: a clone of a template loses what was revoked on the database.
    connection = await asyncpg.connect(as_role(stack.admin_dsn, "orders_app", PASSWORD))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TEMPORARY TABLE mine (a int)")
    finally:
        await connection.close()


async def test_an_owner_sees_no_other_schema(databases: Databases) -> None:
    connection = await asyncpg.connect(databases.owner_dsn("inventory"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT * FROM orders.orders")
    finally:
        await connection.close()


async def test_no_transaction_of_a_service_may_last_longer_than_the_relay_waits(
    databases: Databases,
) -> None:
    connection = await asyncpg.connect(databases.app_dsn("payments"))
    limits = {
        name: await connection.fetchval(f"SHOW {name}")
        for name in ("transaction_timeout", "statement_timeout", "lock_timeout")
    }
    await connection.close()

    assert limits == {
        "transaction_timeout": "30s",
        "statement_timeout": "10s",
        "lock_timeout": "2s",
    }


def _stack_in_another_process(state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-c", _RUNS_A_STACK, state], stdout=subprocess.PIPE, text=True
    )


def test_what_need_not_last_lies_in_memory_if_there_is_room(tmp_path: Path) -> None:
    assert tmp_path in _quick_place(tmp_path, room=1).parents
    assert _quick_place(tmp_path, room=2**62) == LOCAL
    assert _quick_place(tmp_path / "none", room=1) == LOCAL
