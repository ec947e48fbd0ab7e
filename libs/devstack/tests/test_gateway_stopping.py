"""A gateway that is told to stop answers what it was asked before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
from devstack.processes import Processes
from devstack.simulator import launch
from devstack.topology import GATEWAY_KEY

from tests.support.gateway import Client, RunningGateway
from tests.support.waiting import eventually


async def test_an_answer_in_hand_still_arrives(processes: Processes, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    url = await launch.start(processes, ledger)
    gateway = RunningGateway(url, ledger)
    await launch.tell(url, "chances", median=0.5, p99=0.5)
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers) as http:
        asked = asyncio.create_task(Client(http).authorise())
        await eventually(lambda: gateway.rows("SELECT 1 FROM intents"))
        await processes.stop("gateway")

        assert (await asked).status_code == 200
