"""Starts every server that the four services need, except those whose address is given."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from devstack import kafka, keys, mail, postgres, valkey
from devstack.deployment import Deployment
from devstack.processes import Processes
from devstack.servers import Servers
from devstack.simulator import launch
from devstack.together import together
from devstack.topology import CACHE, LOCAL

_KEPT_SECONDS = 3600
"""An hour, to read the logs of what failed; no longer, for it may take up memory."""
_MEMORY = Path("/dev/shm")  # noqa: S108  each stack makes a folder of its own in it
_ROOM = 4 * 2**30
"""Bytes, far more than all tests write; the 64 MB that a container has by default are too few."""
Start: TypeAlias = Callable[[], Awaitable[str]]


class Stack(Servers):
    """A running stack: `async with Stack.start() as stack`."""

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        state: Path | None = None,
        *,
        durable: bool = True,
        listeners: Sequence[kafka.Listener] = (),
    ) -> AsyncIterator[Stack]:
        """Start what the environment gives no address of, and stop it again at the end.

        A folder that is given is emptied first and kept; without one the stack works in a new
        folder, and removes it when all went well. `durable=False` lets Postgres skip fsync and
        works in memory if there is room: what a killed process has written is still there, only a
        power failure would lose it. `listeners` are doors of the broker beside its usual one.
        """
        folder = _new_folder(durable=durable) if state is None else _emptied(state)
        processes = Processes(folder / "logs")
        with ExitStack() as containers:
            try:
                starters = _starters(
                    folder, processes, containers, durable=durable, doors=listeners
                )
                yield await cls._started(folder, processes, starters)
            finally:
                await processes.stop_all()
        if state is None:
            shutil.rmtree(folder)

    @classmethod
    async def _started(
        cls, state: Path, processes: Processes, starters: Mapping[str, Start]
    ) -> Stack:
        mail_dir = Path(os.environ.get("MAIL_DIR") or state / "mail")
        ledger = Path(os.environ.get("GATEWAY_LEDGER") or state / "gateway" / "ledger.sqlite")
        addresses = await _addresses(
            {
                **starters,
                "SMTP_URL": partial(mail.start, processes, mail_dir),
                "PAYMENT_GATEWAY_URL": partial(launch.start, processes, ledger),
            }
        )
        await postgres.bootstrap(addresses["DATABASE_URL"])
        return cls(
            state=state,
            processes=processes,
            signing_key=keys.create_signing_key(state / "jwt-private.pem"),
            bootstrap=addresses["KAFKA_BOOTSTRAP_SERVERS"],
            admin_dsn=addresses["DATABASE_URL"],
            redis_url=addresses["REDIS_URL"],
            smtp_url=addresses["SMTP_URL"],
            mail_dir=mail_dir,
            gateway_url=addresses["PAYMENT_GATEWAY_URL"],
            gateway_ledger=ledger,
        )

    async def start_services(self, ports: Mapping[str, int] | None = None) -> Deployment:
        """Migrate, create the topics, and start all four services on the stack's own database."""
        services = Deployment(self, ports=ports)
        await services.prepare()
        await services.start()
        return services


def _emptied(state: Path) -> Path:
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    return state


def _new_folder(*, durable: bool) -> Path:
    stacks = (LOCAL if durable else _quick_place(_MEMORY, _ROOM)) / "stacks"
    stacks.mkdir(parents=True, exist_ok=True)
    _forget_old(stacks)
    return Path(tempfile.mkdtemp(dir=stacks, prefix=f"{os.getpid()}-"))


def _quick_place(memory: Path, room: int) -> Path:
    """Prefer memory: where tests make and drop databases of a thousand files each, ext4 slows down.

    It leaves the inodes of deleted files alone for minutes and looks past all of them for a free
    one. After a hundred databases a new one took 0.4 s on disk, and still 0.03 s in memory.
    """
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= room:
        return memory / f"pedido-{os.getuid()}"
    return LOCAL


def _forget_old(stacks: Path) -> None:
    """Remove what stacks left behind that failed or were killed, when nobody will look any more."""
    for folder in stacks.iterdir():
        owner = int(folder.name.partition("-")[0])
        if time.time() - folder.stat().st_mtime > _KEPT_SECONDS and not _is_alive(owner):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _starters(
    state: Path,
    processes: Processes,
    running: ExitStack,
    *,
    durable: bool,
    doors: Sequence[kafka.Listener],
) -> dict[str, Start]:
    """Tell how to start each kind of server, by the variable that would give its address."""

    def folder(name: str) -> Path:
        (state / name).mkdir()
        return state / name

    if os.environ.get("TEST_STACK") == "containers":
        from devstack import containers  # noqa: PLC0415  the Docker client is not always installed

        return containers.starters(running)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": partial(
            kafka.start, processes, folder("kafka"), CACHE, listeners=doors
        ),
        "DATABASE_URL": partial(postgres.start, processes, folder("postgres"), durable=durable),
        "REDIS_URL": partial(valkey.start, processes, folder("valkey")),
    }


async def _addresses(starters: Mapping[str, Start]) -> dict[str, str]:
    async def address(name: str, start: Start) -> tuple[str, str]:
        return name, os.environ.get(name) or await start()

    return dict(await together(address(*starter) for starter in starters.items()))
