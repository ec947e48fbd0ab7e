"""A merchant's system hears of an order that goes through four real services."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx2
import pytest
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from invariants.mail import read_letters
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from tests.saga.conftest import Town, open_shop, sold_everywhere
from tests.support.merchant import Merchant
from tests.support.merchant import open_shop as open_merchant
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.support.postgres import Databases

pytestmark = [pytest.mark.saga, pytest.mark.timeout(180)]

LIFE = ["order.placed", "order.confirmed", "order.completed"]


async def test_a_merchant_hears_of_an_orders_life_in_order_and_can_trust_it(
    stack: Stack, services: Deployment, databases: Databases
) -> None:
    services.overrides["notification"] = {"WEBHOOK_ALLOW_PRIVATE_NETWORKS": "true"}
    await services.start()
    shop, customer = await open_shop(
        services.url("order"), services.url("inventory"), stack.signing_key.read_text()
    )
    db = await asyncpg.connect(databases.admin_dsn)
    async with shop, open_merchant(Merchant(status=204)) as merchant:
        endpoint = await add_endpoint(services, stack, merchant)
        await eventually(lambda: sold_everywhere(db))
        town = Town(shop, customer, db)
        order = await town.order(2)

        assert await town.settled(order, 60) == "COMPLETED"
        await eventually(lambda: [call.type for call in merchant.calls] == LIFE)
        (letter,) = await eventually(lambda: letters(stack, f"<{order}.confirmed."))
    await db.close()

    for call in merchant.calls:
        assert call.order_id == str(order)
        assert Webhook(endpoint["secret"]).verify(call.body, call.headers)
        assert b"@" not in call.body
    parts = {part.get_content_type() for part in letter.iter_parts()}
    assert parts == {"text/plain", "text/html"}


async def add_endpoint(services: Deployment, stack: Stack, merchant: Merchant) -> dict[str, Any]:
    key = SecretStr(stack.signing_key.read_text())
    issuer = TokenIssuer(JwtIssuerSettings(app_env="test", jwt_private_key=key))
    token = issuer.issue(Principal(uuid7(), frozenset({"staff"})))
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        url = f"{services.url('notification')}/api/v1/webhooks/endpoints"
        answer = await http.post(url, json={"url": merchant.url, "types": LIFE})
    assert answer.status_code == 201, answer.text
    added: dict[str, Any] = answer.json()
    return added


def letters(stack: Stack, message_id: str) -> list[EmailMessage]:
    """Find what the mail sink has under a Message-ID that begins so."""
    found = [
        message_from_bytes(letter, policy=policy.default) for letter in read_letters(stack.mail_dir)
    ]
    return [
        letter
        for letter in found
        if isinstance(letter, EmailMessage) and str(letter["Message-ID"]).startswith(message_id)
    ]
