"""Children get ready, are stopped, and never outlive their parent."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from devstack import reaper
from devstack.errors import StartFailed
from devstack.processes import Processes, Program, python

from tests.support.waiting import eventually

_SLEEPS = "import time; time.sleep(600)"
_STARTS_TWO = """
import asyncio, sys
from pathlib import Path
from devstack.processes import Processes, Program, python
processes = Processes(Path(sys.argv[1]))
for name in ("one", "two"):
    processes.spawn(Program(name, python("-c", "import time; time.sleep(600)")))
print(*processes.pids.values(), flush=True)
asyncio.run(asyncio.sleep(600))
"""


async def test_children_die_when_their_parent_is_killed(tmp_path: Path) -> None:
    with _python(_STARTS_TWO, tmp_path) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert [child.is_running() for child in children] == [True, True]

        parent.kill()

        await eventually(lambda: not any(_lives(child) for child in children), 5)


async def test_the_reaper_ends_what_is_left_when_its_pipe_closes() -> None:
    left, forgotten = _python(_SLEEPS), _python(_SLEEPS)

    reaper.reap([f"+{left.pid} SIGTERM\n", f"+{forgotten.pid} SIGKILL\n", f"-{forgotten.pid}\n"])

    assert left.wait(5) == -signal.SIGTERM
    assert forgotten.poll() is None
    forgotten.kill()
    for child in (left, forgotten):
        child.communicate()


async def test_a_program_that_ends_instead_of_getting_ready_is_told_with_its_last_words(
    processes: Processes,
) -> None:
    process = processes.spawn(
        Program("hasty", python("-c", "import sys; sys.exit('no room at the inn')"))
    )

    with pytest.raises(StartFailed) as failure:
        await process.ready(_never)

    assert "hasty: it ended with exit code 1" in str(failure.value)
    assert "no room at the inn" in str(failure.value)
    assert str(process.log) in str(failure.value)


async def test_a_program_that_runs_to_its_end_must_end_well(processes: Processes) -> None:
    await processes.run(Program("good", python("-c", "pass")))

    with pytest.raises(StartFailed, match="exit code 3"):
        await processes.run(Program("bad", python("-c", "raise SystemExit(3)")))

    assert processes.pids == {}


async def test_a_program_that_ignores_the_request_to_end_is_killed(processes: Processes) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); "
    process = processes.spawn(Program("deaf", python("-c", deaf + _SLEEPS), patience=0.2))
    await eventually(lambda: "up" in process.log.read_text())

    await processes.stop("deaf")

    assert not psutil.pid_exists(process.pid)


async def test_what_needs_servers_is_stopped_before_them(processes: Processes) -> None:
    logs_its_end = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(print(time.time())));"
        " print('up', flush=True); "
    )
    server = processes.spawn(Program("server", python("-c", logs_its_end + _SLEEPS)))
    service = processes.spawn(
        Program("service", python("-c", logs_its_end + _SLEEPS), needs_servers=True)
    )
    await eventually(lambda: "up" in server.log.read_text() and "up" in service.log.read_text())

    await processes.stop_all()

    assert _end(service.log) < _end(server.log)


def _python(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  our own programs
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


async def _never() -> bool:
    return False


def _end(log: Path) -> float:
    return float(log.read_text().split()[1])


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
