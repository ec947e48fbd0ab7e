"""Child processes that get ready, can be stopped, and never outlive their parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack import leash, reaper
from devstack.errors import StartFailed
from devstack.together import together

_POLL_SECONDS = 0.05
_START_SECONDS = 120.0
"""Far above what any part needs on a busy two-core machine; a part that ends is noticed at once."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how it likes to be ended."""

    name: str
    command: Sequence[object]
    """Each part is given as its text; the first is the absolute path of what to run."""
    env: Mapping[str, str] | None = None
    stop: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    death: signal.Signals = signal.SIGKILL
    """Sent by the kernel when this process dies before it could stop the program."""
    unprivileged: bool = False
    needs_servers: bool = False
    """Stopped first, while what it talks to still answers."""


class Process:
    """A program that was started."""

    def __init__(self, program: Program, child: subprocess.Popen[bytes], log: Path) -> None:
        """Remember the child and where it writes."""
        self.program = program
        self.log = log
        self._child = child

    @property
    def pid(self) -> int:
        """The program's own process id: the leash becomes the program."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative by a signal, None while it runs."""
        return self._child.poll()

    async def ready(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Return once the check holds; raise StartFailed when the program ends or stays silent."""
        deadline = time.monotonic() + _START_SECONDS
        while not await check():
            self.refuse_when_ended()
            if time.monotonic() > deadline:
                raise StartFailed(self.program.name, "it did not get ready in time", self.log)
            await asyncio.sleep(_POLL_SECONDS)
        self.refuse_when_ended()  # else the check may have spoken to somebody else's server

    async def finish(self) -> None:
        """Wait for a program that ends by itself; raise StartFailed unless it ends well."""
        await self._ended(float("inf"))
        if code := self._child.poll():
            raise StartFailed(self.program.name, f"it ended with {_ending(code)}", self.log)

    async def stop(self) -> None:
        """Ask the program to end, and kill its whole group when it has not after its patience."""
        self.send(self.program.stop)
        await self._ended(self.program.patience)
        self.kill()

    def kill(self) -> None:
        """End the program and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it one signal, if it still runs."""
        self._child.send_signal(number)

    async def _ended(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while self.running:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(_POLL_SECONDS)

    def refuse_when_ended(self) -> None:
        """Raise StartFailed when the program is over."""
        if (code := self._child.poll()) is not None:
            reason = f"it ended with {_ending(code)} instead of getting ready"
            raise StartFailed(self.program.name, reason, self.log)


class Processes:
    """All children of one owner."""

    def __init__(self, logs: Path) -> None:
        """Write each program's output to a file of its name in that folder."""
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._running: dict[str, Process] = {}
        self._reaper: _Reaper | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, of what runs now."""
        return {name: process.pid for name, process in self._running.items() if process.running}

    def __getitem__(self, name: str) -> Process:
        """Return the running process of that name."""
        return self._running[name]

    def spawn(self, program: Program) -> Process:
        """Start a program; call it on a thread that lives as long as the program should.

        The kernel's death signal follows the thread that started a child, not the process.
        """
        log = self._logs / f"{program.name}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603  our own commands
                _leashed(program),
                env=program.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, so that we stop in order
            )
        self._tell_reaper(f"+{child.pid} {program.death.name}")
        process = self._running[program.name] = Process(program, child, log)
        return process

    async def run(self, program: Program) -> None:
        """Run a program to its end; raise StartFailed unless it ends well."""
        process = self.spawn(program)
        try:
            await process.finish()
        finally:
            process.kill()
            self._forget(program.name)

    async def stop(self, name: str) -> None:
        """Stop one process gently."""
        await self._running[name].stop()
        self._forget(name)

    def kill(self, name: str) -> None:
        """Kill one process as a crash would."""
        self._running[name].kill()
        self._forget(name)

    async def stop_all(self) -> None:
        """Stop everything, what needs servers before the servers, and leave nothing behind."""
        try:
            await self._stop_some(needing_servers=True)
            await self._stop_some(needing_servers=False)
        finally:
            for name in list(self._running):
                self.kill(name)
            self._dismiss_reaper()

    async def _stop_some(self, *, needing_servers: bool) -> None:
        running = list(self._running.items())
        await together(
            self.stop(name)
            for name, process in running
            if process.program.needs_servers == needing_servers
        )

    def _forget(self, name: str) -> None:
        process = self._running.pop(name)
        self._tell_reaper(f"-{process.pid}")

    def _tell_reaper(self, line: str) -> None:
        if self._reaper is None:
            self._reaper = _Reaper()
        self._reaper.tell(line)

    def _dismiss_reaper(self) -> None:
        if self._reaper is not None:
            self._reaper.dismiss()
            self._reaper = None


class _Reaper:
    """Our end of a running devstack.reaper: it acts when the pipe closes, however that happens."""

    def __init__(self) -> None:
        read, self._pipe = os.pipe()
        self._child = subprocess.Popen(  # noqa: S603  our own command
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=read,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read)

    def tell(self, line: str) -> None:
        os.write(self._pipe, f"{line}\n".encode())

    def dismiss(self) -> None:
        os.close(self._pipe)
        self._child.wait()


def python(*arguments: object) -> list[object]:
    """Return the command that runs this interpreter with these arguments."""
    return [sys.executable, *arguments]


def _leashed(program: Program) -> list[str]:
    user = "nobody" if program.unprivileged else "self"
    wrapper = [
        sys.executable,
        "-I",
        "-S",
        leash.__file__,
        program.death.name,
        str(os.getpid()),
        user,
    ]
    return [*wrapper, *map(str, program.command)]


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
