"""Where one run of a peer takes place: a database and processes of its own."""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from devstack.dsn import of_database
from devstack.ports import free_port
from devstack.postgres import create_database, drop_database
from devstack.processes import Process, Program
from devstack.stack import Stack

from benchmarks.compare.environment import NODE
from benchmarks.compare.peers import PYTHON, Peer, Setting

PORTS = 4
"""As many as the greediest peer listens on."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A peer's programs, and what they work on."""

    stack: Stack
    peer: Peer
    setting: Setting
    database: asyncpg.Connection
    env: Mapping[str, str]
    workers: list[Process] = field(default_factory=list)

    async def do(self, step: str, *options: object) -> None:
        """Run one of its commands to the end."""
        command = [PYTHON, self.peer.path, step, *options]
        await self.stack.processes.run(Program(f"{self.peer.name}-{step}", command, env=self.env))

    async def start(self) -> None:
        """Start its workers, between what its program does before and after."""
        for step in self.peer.before:
            await self.do(step)
        for role in self.peer.beside:
            self._spawn(role, 0)
        for number in range(self.setting.processes):
            self._spawn("work", number)
        for step in self.peer.after:
            await self.do(step)

    async def stop(self) -> None:
        """Stop its workers, if they still run."""
        while self.workers:
            await self.stack.processes.stop(self.workers.pop(0).program.name)

    def refuse_when_ended(self) -> None:
        """Raise StartFailed when one of its workers is over."""
        for worker in self.workers:
            worker.refuse_when_ended()

    def _spawn(self, role: str, number: int) -> None:
        command = [PYTHON, self.peer.path, role]
        own = {**self.env, "PEER_NUMBER": str(number)}
        program = Program(f"{self.peer.name}-{role}-{number}", command, env=own)
        self.workers.append(self.stack.processes.spawn(program))


def new_name(peer: Peer) -> str:
    """Name a run's database, its folder and its topics."""
    return f"{peer.name}_{time.time_ns()}"


@asynccontextmanager
async def stand(
    stack: Stack, peer: Peer, setting: Setting, name: str, outside: Mapping[str, str]
) -> AsyncIterator[Stand]:
    """Give it a database, start nothing yet, and leave nothing of it behind."""
    dsn = of_database(stack.admin_dsn, name)
    own = {
        "DATABASE_URL": dsn,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap,
        "TOPIC_PREFIX": f"{name}.",
        "REDIS_URL": stack.redis_url,
        "PEER_CONCURRENCY": str(setting.concurrency),
        "PEER_VARIANT": setting.variant,
        "PEER_PORTS": ",".join(str(free_port()) for _ in range(PORTS)),
        "PEER_STATE": str(stack.state / name / "own"),
        "PEER_NODE": str(NODE),
    }
    await create_database(stack.admin_dsn, name)
    database = await asyncpg.connect(dsn)
    place = Stand(stack, peer, setting, database, {**os.environ, **own, **outside})
    try:
        yield place
    finally:
        await place.stop()
        await database.close()
        await drop_database(stack.admin_dsn, name)
