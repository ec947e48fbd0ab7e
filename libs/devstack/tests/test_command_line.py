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


async def test_dev_leaves_everything_running_until_down(command_line: CommandLine) -> None:
    code, output = await command_line.run("dev")
    assert code == 0, output
    environment = command_line.environment()
    family = command_line.supervisor().children(recursive=True)
    async with httpx2.AsyncClient() as client:
        answers = [
            await client.get(f"{environment[f'{name.upper()}_URL']}/api/v1/health/ready")
            for name in SERVICES
        ]
    again = await command_line.run("dev")
    down = await command_line.run("down")

    assert environment.keys() >= _ENVIRONMENT
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all(f"{environment[f'{name.upper()}_URL']}/api/docs" in output for name in SERVICES)
    assert "runs already" in again[1]
    assert down == (0, "Stopped.\n")
    assert [child for child in family if child.is_running()] == []


async def test_a_killed_supervisor_leaves_nothing_behind(command_line: CommandLine) -> None:
    code, output = await command_line.run("dev")
    assert code == 0, output
    supervisor = command_line.supervisor()
    family = supervisor.children(recursive=True)

    supervisor.kill()

    await eventually(lambda: not [child for child in family if child.is_running()], 15)
    assert await command_line.run("down") == (0, "Nothing runs.\n")


async def test_a_part_that_does_not_start_is_named_with_its_log(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "shout")
    command_line = CommandLine(command_line._home)

    code, output = await command_line.run("dev")

    assert code == 1
    assert "LOG_LEVEL" in output
    assert ".log" in output
