from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from devstack.deployment import Deployment
from devstack.stack import Stack
from pydantic import SecretStr

from tests.support.postgres import Databases

pytestmark = pytest.mark.saga

MANY = 2500
"""More than two requests' worth."""


async def fill(databases: Databases) -> None:
    connection = await asyncpg.connect(databases.app_dsn("inventory"))
    try:
        await connection.execute("SET search_path = inventory")
        await connection.execute(
            """
            INSERT INTO stock (sku, name, price, currency, available)
            SELECT 'sku-' || n, 'Product', 100, 'GBP', 9 FROM generate_series(1, $1::int) AS n
            """,
            MANY,
        )
        await connection.execute(
            "INSERT INTO movements (sku, kind, quantity) SELECT sku, 'initial', 9 FROM stock"
        )
    finally:
        await connection.close()


async def break_count(databases: Databases, sku: str) -> None:
    connection = await asyncpg.connect(databases.app_dsn("inventory"))
    try:
        await connection.execute(
            "UPDATE inventory.stock SET available = 7, sold = 1 WHERE sku = $1", sku
        )
    finally:
        await connection.close()


async def test_a_count_broken_on_purpose_is_told_and_exits_with_1(
    stack: Stack, services: Deployment, databases: Databases, tmp_path: Path
) -> None:
    await services.start("order", "inventory")  # order-service publishes the keys
    await fill(databases)
    issuer = TokenIssuer(
        JwtIssuerSettings(jwt_private_key=SecretStr(stack.signing_key.read_text()))
    )
    token = issuer.issue(Principal(uuid7(), frozenset({"operator"})))
    env = {"INVENTORY_URL": services.url("inventory"), "PEDIDO_TOKEN": token}

    def reconcile() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pedido", "--output", "json", "stock", "reconcile"],
            cwd=tmp_path,
            env=env | {name: os.environ[name] for name in ("PATH", "HOME")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    before = reconcile()
    await break_count(databases, f"sku-{MANY}")
    after = reconcile()

    assert (before.returncode, before.stdout.strip()) == (0, "[]"), before.stderr
    assert after.returncode == 1
    assert json.loads(after.stdout) == [
        {
            "sku": f"sku-{MANY}",
            "column": column,
            "expected": expected,
            "found": found,
            "reason": "movements_differ",
        }
        for column, expected, found in [("available", 9, 7), ("sold", 0, 1)]
    ]
