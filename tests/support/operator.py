"""Somebody with a token and a terminal: the command line as its own process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from devstack.deployment import Deployment
from devstack.stack import Stack
from devstack.topology import SERVICES
from pydantic import SecretStr


@dataclass
class Operator:
    """Runs `pedido` against these services."""

    services: Deployment
    token: str

    async def start(self, *words: str) -> Process:
        urls = {f"{name.upper()}_URL": self.services.url(name) for name in SERVICES}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pedido", "--output", "json", *words),
            env={**os.environ, **self.services.env("order"), **urls, "PEDIDO_TOKEN": self.token},
            stdout=PIPE,
            stderr=PIPE,
        )

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command to its end; answers exit code, output and errors."""
        ran = await self.start(*words)
        out, err = await ran.communicate()
        return ran.returncode or 0, out.decode(), err.decode()

    async def ask(self, *words: str) -> Any:
        """Run a command that must succeed; answers what it printed."""
        code, out, err = await self.run(*words)
        assert code == 0, err or out
        return json.loads(out)


def operator_of(stack: Stack, services: Deployment) -> Operator:
    """Give somebody a token for these services."""
    settings = JwtIssuerSettings(
        jwt_private_key=SecretStr(stack.signing_key.read_text()), jwt_expires_in=timedelta(hours=1)
    )
    principal = Principal(uuid7(), frozenset({"operator"}))
    return Operator(services, TokenIssuer(settings).issue(principal))


@pytest.fixture
def operator(stack: Stack, services: Deployment) -> Operator:
    """Have an operator for the test's own services."""
    return operator_of(stack, services)
