"""A whole suite for a story: four real services on a database and topics of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.settings import JwtIssuerSettings
from demo.shop import Customer, Shop
from devstack.deployment import Deployment
from devstack.stack import Stack
from pydantic import SecretStr

from tests.support.postgres import Databases
from tests.support.waiting import eventually

STOCK = 100


@dataclass
class Town:
    """A shop with one customer, and a look behind the counter."""

    shop: Shop
    customer: Customer
    db: asyncpg.Connection[asyncpg.Record]

    async def order(self, quantity: int = 1, payment_method: str = "pm_ok") -> UUID:
        """Place an order for lanterns and answer its id."""
        _, answer = await self.shop.place(
            self.customer, str(uuid4()), (("LANTERN", quantity),), payment_method
        )
        assert answer.status == 202, answer.body
        return UUID(answer.body["orderId"])

    async def cancel(self, order_id: UUID) -> int:
        """Cancel an order and answer the status code."""
        return (await self.shop.cancel(self.customer, str(uuid4()), order_id)).status

    async def settled(self, order_id: UUID, deadline: float = 30) -> str:
        """Wait until the order is settled and answer its status."""

        async def over() -> str | None:
            row = await self.db.fetchrow(
                "SELECT status, saga FROM orders.orders WHERE order_id = $1", order_id
            )
            assert row
            return row["status"] if row["saga"] in {"COMPLETED", "COMPENSATED"} else None

        return str(await eventually(over, deadline))

    async def fill_shelf(self, quantity: int) -> None:
        """Have as many lanterns as a test may need that doesn't look at the stock."""
        await self.db.execute("UPDATE inventory.stock SET available = $1", quantity)

    async def stock(self) -> tuple[int, int, int]:
        """Count lanterns: available, reserved, sold."""
        row = await self.db.fetchrow("SELECT available, reserved, sold FROM inventory.stock")
        assert row
        return row["available"], row["reserved"], row["sold"]


async def open_shop(
    url: str, inventory_url: str, signing_key: str, stock: int = STOCK
) -> tuple[Shop, Customer]:
    """Put lanterns on the shelf and let a customer in."""
    settings = JwtIssuerSettings(jwt_private_key=SecretStr(signing_key))
    admin = Principal(id=uuid4(), roles=frozenset({"admin"}))
    token = TokenIssuer(settings).issue(admin)
    product = {
        "sku": "LANTERN",
        "name": "White metal lantern",
        "price": {"amount": 339, "currency": "GBP"},
        "stock": stock,
    }
    async with Shop(inventory_url, connections=1) as inventory:
        answer = await inventory.post("/products", product, {"Authorization": f"Bearer {token}"})
        assert answer.status == 201, answer.body
    shop = Shop(url, connections=8)
    return shop, await shop.enter(f"customer-{uuid4()}")


async def sold_everywhere(db: asyncpg.Connection[asyncpg.Record]) -> Any:
    """Tell whether order-service knows the product yet."""
    return await db.fetchval("SELECT count(*) FROM orders.products")


@pytest_asyncio.fixture
async def town(stack: Stack, services: Deployment, databases: Databases) -> AsyncIterator[Town]:
    """Run all four services and a customer who may order."""
    await services.start()
    shop, customer = await open_shop(
        services.url("order"), services.url("inventory"), stack.signing_key.read_text()
    )
    db = await asyncpg.connect(databases.admin_dsn)
    await eventually(lambda: sold_everywhere(db))
    async with shop:
        yield Town(shop, customer, db)
    await db.close()
