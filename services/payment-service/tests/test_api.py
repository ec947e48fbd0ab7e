"""What staff sees of payments, and what nobody else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from payment_service.app import build
from payment_service.messages import Money, RefundRequested

from tests.support.cashier import Cashier
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Desk:
    """The application, and somebody of any role at it."""

    http: httpx2.AsyncClient
    issuer: TokenIssuer

    async def get(self, path: str, role: str | None = "staff") -> httpx2.Response:
        headers = {}
        if role is not None:
            token = self.issuer.issue(Principal(uuid7(), frozenset({role})))
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.get(path, headers=headers)


@pytest_asyncio.fixture
async def desk(cashier: Cashier) -> AsyncIterator[Desk]:
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    service = build(cashier.settings)
    service.api.state.verifier = issuer.verifier()
    transport = httpx2.ASGITransport(app=service.api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://pedido/api/v1") as http:
        yield Desk(http, issuer)
    await service.database.close()


def shown(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_payment_is_shown_with_its_refunds(cashier: Cashier, desk: Desk) -> None:
    order_id = await cashier.due()
    refund_id = uuid7()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.confirm(order_id)
        await eventually(partial(cashier.has, order_id, "CAPTURED"))
        part = Money(amount=678, currency="GBP")
        await cashier.hear(RefundRequested(order_id=order_id, refund_id=refund_id, amount=part))
        await eventually(partial(cashier.has, order_id, "CAPTURED"))

    (listed,) = shown(await desk.get(f"/payments?orderId={order_id}"))["data"]
    alone = shown(await desk.get(f"/payments/{listed['paymentId']}"))

    assert alone == listed
    assert (listed["orderId"], listed["wanted"], listed["have"]) == (
        str(order_id),
        "CAPTURED",
        "CAPTURED",
    )
    assert listed["amount"] == {"amount": 2208, "currency": "GBP"}
    assert (listed["captured"], listed["refunded"], listed["operation"]) == (2208, 678, None)
    (refund,) = listed["refunds"]
    assert (refund["refundId"], refund["status"]) == (str(refund_id), "SUCCEEDED")
    assert refund["amount"] == {"amount": 678, "currency": "GBP"}


async def test_an_order_without_a_payment_has_an_empty_list(desk: Desk) -> None:
    assert shown(await desk.get(f"/payments?orderId={uuid7()}"))["data"] == []


@pytest.mark.parametrize(
    ("path", "role", "status", "code"),
    [
        (f"/payments/{uuid7()}", "staff", 404, "not_found"),
        (f"/payments/{uuid7()}", "customer", 403, "forbidden"),
        (f"/payments?orderId={uuid7()}", "customer", 403, "forbidden"),
        (f"/payments/{uuid7()}", None, 401, "unauthenticated"),
        ("/payments/soon", "staff", 422, "validation_failed"),
        ("/payments", "staff", 422, "validation_failed"),
        ("/payments?orderId=1", "staff", 422, "validation_failed"),
        (f"/payments?orderId={uuid7()}&all=1", "staff", 422, "validation_failed"),
    ],
    ids=[
        "unknown",
        "a customer",
        "a customer's list",
        "nobody",
        "no id",
        "no filter",
        "bad filter",
        "unknown filter",
    ],
)
async def test_what_can_not_be_shown_is_a_problem(
    desk: Desk, path: str, role: str | None, status: int, code: str
) -> None:
    answer = await desk.get(path, role)

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_payment_shows_no_payment_method(cashier: Cashier, desk: Desk) -> None:
    order_id = await cashier.due("pm_secret")

    answer = await desk.get(f"/payments?orderId={order_id}")

    assert "pm_secret" not in answer.text
