"""The world outside of a peer: the same simulator and mail sink as Pedido's, with its own books.

Pedido's judge would take a peer's charges and e-mails for orders that Pedido lost.
"""

from dataclasses import dataclass
from pathlib import Path

from devstack.ports import LOCALHOST, accepts, answers_ok, free_port
from devstack.processes import Process, Processes, Program, python


@dataclass(frozen=True, slots=True)
class World:
    """A provider and a mail server of one run."""

    gateway_url: str
    ledger: Path
    smtp_url: str
    mail: Path
    processes: tuple[Process, ...]

    @classmethod
    async def start(cls, processes: Processes, folder: Path, name: str) -> "World":
        """Start both with empty books in that folder."""
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

        await gateway.ready(answers)
        await sink.ready(listens)
        urls = f"http://{LOCALHOST}:{gateway_port}", f"smtp://{LOCALHOST}:{mail_port}"
        return cls(urls[0], ledger, urls[1], mail, (gateway, sink))
