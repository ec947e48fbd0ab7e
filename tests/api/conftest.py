"""A market for the whole API: real services, people of every role, and things of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from common.auth import Principal, TokenIssuer
from common.settings import JwtIssuerSettings
from demo.shop import Shop
from devstack import postgres
from devstack.deployment import Deployment
from devstack.dsn import of_database
from devstack.stack import Stack
from devstack.topology import SERVICES
from pydantic import SecretStr

from tests.support.waiting import eventually

UNLIMITED = {"RATE_LIMIT_ADDRESS": "1000000/1s", "RATE_LIMIT_PRINCIPAL": "1000000/1s"}
PRODUCTS = ("85123A", "71053")
ROLES = {"staff": "staff", "operator": "operator", "admin": "admin"}
REFUND = {"amount": {"amount": 100, "currency": "GBP"}, "reason": "broken"}
PEOPLE = ("owner", "other", "leaving", *ROLES)


@dataclass
class Market:
    """Running services, and who may ask them what."""

    services: Deployment
    issuer: TokenIssuer
    people: dict[str, UUID]
    """Everybody has an account, whatever their role."""
    things: dict[str, str] = field(default_factory=dict)
    """Path parameter → something of the owner's that it may name."""

    def url(self, document: str) -> str:
        """Return where the service of a document answers."""
        return self.services.url(document.removesuffix("-service"))

    @property
    def tokens(self) -> dict[str, str]:
        """Sign a token for everybody."""
        return {name: self.token(ROLES.get(name, "customer"), of=name) for name in self.people}

    async def post(self, service: str, path: str, token: str, body: object) -> Any:
        """Post what must be taken."""
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid4())}
        async with httpx2.AsyncClient(base_url=self.services.url(service), timeout=30) as http:
            answer = await http.post(f"/api/v1{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    async def find(self, service: str, path: str, token: str, member: str = "data") -> Any:
        """Get one member of what must be there."""
        async with httpx2.AsyncClient(base_url=self.services.url(service), timeout=30) as http:
            answer = await http.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.is_success, answer.text
        return answer.json()[member]

    def token(self, *roles: str, of: str) -> str:
        """Sign a token for somebody with these roles."""
        return self.issuer.issue(Principal(self.people[of], frozenset(roles)))


@pytest.fixture(scope="module")
def stream_life() -> str:
    """Let no stream of an order that is never settled hold a test up."""
    return "1s"


@pytest.fixture(scope="module")
def market(stack: Stack, template_database: str, stream_life: str) -> Iterator[Market]:
    """Open one market for all tests of a file: what they do to it must not disturb the others."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        exits = AsyncExitStack()
        yield runner.run(_open(stack, template_database, stream_life, exits))
        runner.run(exits.aclose())


async def _open(stack: Stack, template: str, stream_life: str, exits: AsyncExitStack) -> Market:
    name = f"market-{uuid4()}"
    await postgres.create_database(stack.admin_dsn, name, template=template)
    exits.push_async_callback(postgres.drop_database, stack.admin_dsn, name)
    services = Deployment(stack, of_database(stack.admin_dsn, name), prefix=f"m{uuid4().hex[:12]}.")
    services.overrides = dict.fromkeys(SERVICES, UNLIMITED)
    services.overrides["order"] = UNLIMITED | {"STREAM_LIFE": stream_life}
    await services.create_topics()
    exits.push_async_callback(services.stop)
    await services.start()
    key = stack.signing_key.read_text()
    settings = JwtIssuerSettings(jwt_private_key=SecretStr(key), jwt_expires_in=timedelta(hours=1))
    async with Shop(services.url("order"), connections=2) as shop:
        people = {name: (await shop.enter(name)).id for name in PEOPLE}
    market = Market(services, TokenIssuer(settings), people)
    await _fill(market)
    return market


async def _fill(market: Market) -> None:
    """Sell things, have the owner buy one and staff give a part of the money back."""
    owner, staff, admin = (market.tokens[name] for name in ("owner", "staff", "admin"))
    for sku in PRODUCTS:
        product = {
            "sku": sku,
            "name": f"Lantern {sku}",
            "price": {"amount": 255, "currency": "GBP"},
            "stock": 1_000_000,
        }
        await market.post("inventory", "/products", admin, product)
    items = {"items": [{"sku": PRODUCTS[0], "quantity": 2}], "paymentMethod": "pm_ok"}
    placed = await eventually(lambda: market.post("order", "/orders", owner, items), 30)
    order = f"/orders/{placed['orderId']}"
    await eventually(lambda: market.find("order", f"{order}/status", owner, "terminal"), 30)
    refund = await market.post("order", f"{order}/refunds", staff, REFUND)
    refund_id = refund["refundId"]
    market.things = {
        "order_id": placed["orderId"],
        "sku": PRODUCTS[0],
        "refund_id": refund_id,
        "user_id": str(market.people["leaving"]),
    }
    await eventually(lambda: market.find("payment", f"/refunds/{refund_id}", staff, "refundId"), 30)
    (payment,) = await market.find("payment", f"/payments?orderId={placed['orderId']}", staff)
    market.things["payment_id"] = payment["paymentId"]
    notices = f"/notifications?orderId={placed['orderId']}"
    notice, *_ = await eventually(lambda: market.find("notification", notices, staff), 30)
    market.things["notification_id"] = notice["notificationId"]
