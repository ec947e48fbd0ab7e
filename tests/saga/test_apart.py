"""Each service as three processes: HTTP, consuming and relaying apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest
from devstack.topology import SERVICES
from invariants.mail import read_letters

from tests.saga.conftest import STOCK, Town, open_shop, sold_everywhere
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from uuid import UUID

    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.support.postgres import Databases

pytestmark = [pytest.mark.saga, pytest.mark.timeout(180)]


async def test_an_order_goes_through_twelve_processes_to_its_email(
    stack: Stack, services: Deployment, databases: Databases
) -> None:
    for name in SERVICES:
        await services.start_apart(name)
    shop, customer = await open_shop(
        services.url("order"), services.url("inventory"), stack.signing_key.read_text()
    )
    db = await asyncpg.connect(databases.admin_dsn)
    async with shop:
        await eventually(lambda: sold_everywhere(db))
        town = Town(shop, customer, db)
        order = await town.order(2)

        assert await town.settled(order, 60) == "COMPLETED"
        assert await town.stock() == (STOCK - 2, 0, 2)
        await eventually(lambda: mailed(stack, order))
    await db.close()


def mailed(stack: Stack, order: UUID) -> bool:
    """Tell whether an e-mail about the order was delivered."""
    return any(f"<{order}.".encode() in letter for letter in read_letters(stack.mail_dir))
