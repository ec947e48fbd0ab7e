"""The developer's commands: `python -m devstack dev` starts everything, `… down` stops it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from typing import IO

from rich.console import Console
from rich.table import Table

from devstack import supervisor
from devstack.errors import StackError, StartFailed
from devstack.topology import LOCAL, SERVICES

_LOG = LOCAL / "dev.log"
_STOP_SECONDS = 60.0
"""Above the services' own 25 s, one after the other parts."""
_POLL_SECONDS = 0.1
_ROWS = {
    "Kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "PostgreSQL": "DATABASE_URL",
    "Valkey": "REDIS_URL",
    "payment gateway": "GATEWAY_URL",
    "its ledger": "GATEWAY_LEDGER",
    "e-mails": "MAIL_DIR",
}


def main() -> int:
    """Do what the command line says; a failure is told in words."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = {"dev": _dev, "down": _down}
    parser.add_argument("command", choices=commands)
    console = Console()
    try:
        commands[parser.parse_args().command](console)
    except StackError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return 1
    return 0


def _dev(console: Console) -> None:
    if supervisor.running_supervisor() is None:
        _start(console)
    elif supervisor.ENVIRONMENT.exists():
        console.print("It runs already.")
    else:
        message = "It is starting or stopping just now; wait for it, or end it with `make down`."
        raise StackError(message)
    console.print(_table(supervisor.read_environment()))


def _start(console: Console) -> None:
    LOCAL.mkdir(exist_ok=True)
    read, write = os.pipe()
    with _LOG.open("wb") as log, os.fdopen(read) as steps:
        child = subprocess.Popen(
            [sys.executable, "-m", "devstack.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=log,
            start_new_session=True,
        )
        os.close(write)
        try:
            _follow(steps, console)
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise StackError("Given up; everything that was started has been stopped.") from None


def _follow(steps: IO[str], console: Console) -> None:
    """Show the steps until the stack is ready; raise StackError when it won't be."""
    with console.status("starting") as status:
        for line in steps:
            step = line.rstrip()
            if step == supervisor.READY:
                return
            if step == supervisor.FAILED:
                raise StackError(steps.read().rstrip())
            status.update(f"{step} …")
    raise StartFailed("the supervisor", "it ended before the stack was ready", _LOG)


def _down(console: Console) -> None:
    pid = supervisor.running_supervisor()
    if pid is None:
        console.print("Nothing runs.")
        return
    with console.status("stopping"):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while supervisor.running_supervisor() == pid:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)  # what it started dies with it
            time.sleep(_POLL_SECONDS)
    console.print("Stopped.")


def _table(environment: dict[str, str]) -> Table:
    table = Table(title="Pedido runs; `make down` stops it", title_justify="left")
    table.add_column("what")
    table.add_column("where", overflow="fold")
    for name in SERVICES:
        table.add_row(f"{name} service", f"{environment[f'{name.upper()}_URL']}/api/docs")
    table.add_section()
    for what, variable in _ROWS.items():
        table.add_row(what, environment[variable])
    table.add_section()
    table.add_row("logs", str(supervisor.STATE / "logs"))
    table.add_row("all of this, for tools", str(supervisor.ENVIRONMENT))
    return table


if __name__ == "__main__":
    sys.exit(main())
