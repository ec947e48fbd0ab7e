"""`devstack dev` leaves everything running, `down` stops it, and a crash leaves nothing."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psutil
import pytest
import pytest_asyncio
from devstack.ports import free_port
from devstack.stack import Stack
from devstack.topology import ROOT, SERVICES

from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(180)]

_GIVEN = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "REDIS_URL", "SMTP_URL", "PAYMENT_GATEWAY_URL")
_ENVIRONMENT = {
    "DATABASE_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "REDIS_URL",
    "ORDER_URL",
    "INVENTORY_URL",
    "PAYMENT_URL",
    "NOTIFICATION_URL",
    "GATEWAY_URL",
    "GATEWAY_LEDGER",
    "MAIL_DIR",
    "JWT_PRIVATE_KEY_FILE",
}


class CommandLine:
    """The commands of a developer whose files are all in one folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._env = {name: value for name, value in os.environ.items() if name not in _GIVEN}

    def give(self, stack: Stack) -> None:
        """Give the addresses of servers that run already."""
        self._env |= {
            "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap,
            "DATABASE_URL": stack.admin_dsn,
            "REDIS_URL": stack.redis_url,
            "SMTP_URL": stack.smtp_url,
            "PAYMENT_GATEWAY_URL": stack.gateway_url,
        }

    def give_nothing_at(self, port: int) -> None:
        """Give a database's address where no database is."""
        self._env["DATABASE_URL"] = f"postgresql://postgres:secret@127.0.0.1:{port}/pedido"

    async def run(self, command: str) -> tuple[int | None, str]:
        """Run a command to its end."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "devstack",
            command,
            env=self._env | {"DEVSTACK_HOME": str(self._home), "COLUMNS": "200"},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await child.communicate()
        return child.returncode, output.decode()

    def environment(self) -> dict[str, str]:
        """Read what `dev` wrote for other tools."""
        lines = (self._home / "stack.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def supervisor(self) -> psutil.Process:
        """Find the process that keeps everything running."""
        return psutil.Process(int((self._home / "dev.lock").read_text()))


@pytest_asyncio.fixture
async def command_line(tmp_path: Path) -> AsyncIterator[CommandLine]:
    """Stop whatever the test left running."""
    commands = CommandLine(tmp_path)
    yield commands
    await commands.run("down")


async def test_dev_runs_everything_and_a_killed_supervisor_leaves_nothing(
    command_line: CommandLine,
) -> None:
    code, output = await command_line.run("dev")
    assert code == 0, output
    supervisor = command_line.supervisor()
    family = supervisor.children(recursive=True)
    assert {"java", "postgres", "valkey-server"} <= {child.name() for child in family}

    supervisor.kill()

    await eventually(lambda: not [child for child in family if child.is_running()], 15)
    assert await command_line.run("down") == (0, "Nothing runs.\n")


async def test_dev_leaves_the_services_running_until_down(
    command_line: CommandLine, stack: Stack
) -> None:
    command_line.give(stack)
    code, output = await command_line.run("dev")
    assert code == 0, output
    environment = command_line.environment()
    urls = [environment[f"{name.upper()}_URL"] for name in SERVICES]
    family = command_line.supervisor().children(recursive=True)
    async with httpx2.AsyncClient() as client:
        answers = [await client.get(f"{url}/api/v1/health/ready") for url in urls]

    again = await command_line.run("dev")
    down = await command_line.run("down")

    assert environment.keys() >= _ENVIRONMENT
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == stack.bootstrap
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all(f"{url}/api/docs" in output for url in urls)
    assert "runs already" in again[1]
    assert down == (0, "Stopped.\n")
    assert [child for child in family if child.is_running()] == []


async def test_what_does_not_start_is_said_in_words_and_leaves_nothing(
    command_line: CommandLine, stack: Stack
) -> None:
    command_line.give(stack)
    port = free_port()
    command_line.give_nothing_at(port)

    code, output = await command_line.run("dev")

    assert code == 1
    assert output.startswith(f"PostgreSQL at 127.0.0.1:{port}/pedido can't be prepared:")
    assert "secret" not in output
    assert await command_line.run("down") == (0, "Nothing runs.\n")
