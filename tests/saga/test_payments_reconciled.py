"""The provider's list against our books, as an operator asks for it at the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from common.auth import Principal, TokenIssuer
from common.settings import JwtIssuerSettings
from devstack.deployment import Deployment
from devstack.processes import Processes
from devstack.simulator import launch
from devstack.stack import Stack
from devstack.topology import GATEWAY_KEY
from pydantic import SecretStr

from tests.support.gateway import Client
from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]


async def reconcile(services: Deployment, token: str) -> tuple[int | None, list[Any], str]:
    """Run the command; answer its exit code, the differences it printed, and what it said."""
    known = {"PAYMENT_URL": services.url("payment"), "PEDIDO_TOKEN": token}
    words = ("--output", "json", "payments", "reconcile", "--hours", "1")
    ran = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pedido", *words),
        env={**os.environ, **known},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await ran.communicate()
    return ran.returncode, json.loads(printed)[1:], said.decode()


async def differing(services: Deployment, token: str) -> tuple[int | None, list[Any], str] | None:
    ran = await reconcile(services, token)
    return ran if ran[1] else None


async def test_the_command_tells_books_that_agree_from_books_that_differ(
    stack: Stack, services: Deployment, tmp_path: Path
) -> None:
    processes = Processes(tmp_path / "logs")
    gateway = await launch.start(processes, tmp_path / "ledger.sqlite")
    services.overrides["payment"] = {"PAYMENT_GATEWAY_URL": gateway}
    await services.start("order", "payment")
    settings = JwtIssuerSettings(jwt_private_key=SecretStr(stack.signing_key.read_text()))
    token = TokenIssuer(settings).issue(Principal(uuid4(), frozenset({"operator"})))

    agreed = await reconcile(services, token)
    headers = {"Authorization": f"Bearer {GATEWAY_KEY}"}
    async with httpx2.AsyncClient(base_url=gateway, headers=headers) as http:
        intent = await Client(http).captured()
    # The command leaves out the last seconds, so the intent is found a little later.
    differed = await eventually(partial(differing, services, token), 40)
    await processes.stop_all()

    assert agreed == (0, [], "")
    assert differed is not None
    code, (found,), said = differed
    assert (code, found["reason"], found["providerId"]) == (1, "UNKNOWN_PAYMENT", intent)
    assert "1 differences" in said
