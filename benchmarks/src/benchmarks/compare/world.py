"""The world outside of a peer: the same simulator and mail sink as Pedido's, with its own books.

Pedido's judge would take a peer's charges and e-mails for orders that Pedido lost.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.ports import LOCALHOST, accepts, answers_ok, free_port
from devstack.processes import Processes, Program, python
from devstack.topology import GATEWAY_KEY


@dataclass(frozen=True, slots=True)
class World:
    """A provider and a mail server of one run."""

    ledger: Path
    mail: Path
    env: Mapping[str, str]
    """Where a peer finds both."""


@asynccontextmanager
async def world(processes: Processes, folder: Path, name: str) -> AsyncIterator[World]:
    """Start both with empty books in that folder, and stop them again."""
    ledger, mail = folder / "ledger.sqlite", folder / "mail"
    gateway_port, mail_port = free_port(), free_port()
    simulator = python("-m", "devstack.simulator", "--port", gateway_port, "--ledger", ledger)
    gateway = processes.spawn(Program(f"{name}-gateway", simulator))
    command = python("-m", "devstack.mail", "--port", mail_port, "--folder", mail)
    sink = processes.spawn(Program(f"{name}-mail", command))

    async def answers() -> bool:
        return await answers_ok(gateway_port, "/health")

    async def listens() -> bool:
        return await accepts(mail_port)

    env = {
        "PAYMENT_GATEWAY_URL": f"http://{LOCALHOST}:{gateway_port}",
        "PAYMENT_GATEWAY_KEY": GATEWAY_KEY,
        "SMTP_URL": f"smtp://{LOCALHOST}:{mail_port}",
    }
    try:
        await gateway.ready(answers)
        await sink.ready(listens)
        yield World(ledger, mail, env)
    finally:
        for process in (gateway, sink):
            await processes.stop(process.program.name)
