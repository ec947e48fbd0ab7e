"""Starts the simulator as a process of its own."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from devstack.ports import LOCALHOST, answers_ok, free_port
from devstack.processes import Processes, Program, python
from devstack.topology import GATEWAY_KEY


async def start(processes: Processes, ledger: Path) -> str:
    """Start a gateway with that ledger and return its URL."""
    port = free_port()
    command = python("-m", "devstack.simulator", "--port", port, "--ledger", ledger)
    server = processes.spawn(Program("gateway", command))

    async def answers() -> bool:
        return await answers_ok(port, "/health")

    await server.ready(answers)
    return f"http://{LOCALHOST}:{port}"


async def tell(gateway: str, what: str, **wanted: object) -> None:
    """Change how a running simulator behaves: its `mood`, its `chances` or its `webhooks`."""
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.put(f"{gateway}/{what}", json=wanted),
    ):
        pass
