"""What staff does with a completed order, through four real services: ship it, give money back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.settings import JwtIssuerSettings
from demo.shop import Answer
from pydantic import SecretStr

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.stack import Stack

    from tests.saga.conftest import Town

pytestmark = [pytest.mark.saga, pytest.mark.timeout(180)]

PRICE = 339


@dataclass
class Counter:
    """The staff's side of the counter."""

    town: Town
    headers: Mapping[str, str]

    async def step(self, order_id: UUID, name: str) -> Answer:
        return await self.town.shop.post(f"/orders/{order_id}/{name}", None, self.headers)

    async def refund(self, order_id: UUID, **body: Any) -> Answer:
        headers = {**self.headers, "Idempotency-Key": str(uuid4())}
        wanted = {"reason": "damaged", **body}
        return await self.town.shop.post(f"/orders/{order_id}/refunds", wanted, headers)

    async def ended(self, order_id: UUID) -> list[tuple[str, int]]:
        """Wait until no refund is open, and tell state and amount of each, oldest first."""

        async def over() -> list[Any] | None:
            page = await self.town.shop.get(f"/orders/{order_id}/refunds", self.headers)
            found: list[Any] = page["data"][::-1]
            return None if any(each["state"] == "REQUESTED" for each in found) else found

        refunds = await eventually(over, 60)
        return [(each["state"], each["amount"]["amount"]) for each in refunds or []]

    async def seen(self, order_id: UUID) -> Mapping[str, Any]:
        return await self.town.shop.get(f"/orders/{order_id}", self.headers)

    async def payment(self) -> tuple[int, int]:
        """Tell what payment has taken and given back."""
        row = await self.town.db.fetchrow("SELECT captured, refunded FROM payments.payments")
        assert row
        return row["captured"], row["refunded"]

    async def told(self, kind: str, times: int = 1) -> bool:
        """Wait until the customer got so many letters of a kind."""

        async def sent() -> bool:
            found = await self.town.db.fetchval(
                "SELECT count(*) FROM notifications.notifications"
                " WHERE kind = $1 AND status = 'SENT'",
                kind,
            )
            return bool(found == times)

        return await eventually(sent, 60)


@pytest_asyncio.fixture
async def counter(town: Town, stack: Stack) -> Counter:
    key = SecretStr(stack.signing_key.read_text())
    staff = Principal(id=uuid4(), roles=frozenset({"staff"}))
    token = TokenIssuer(JwtIssuerSettings(jwt_private_key=key)).issue(staff)
    return Counter(town, {"Authorization": f"Bearer {token}"})


def pounds(pence: int) -> dict[str, Any]:
    return {"amount": {"amount": pence, "currency": "GBP"}}


def lanterns(quantity: int, **more: Any) -> dict[str, Any]:
    return {"lines": [{"lineNo": 1, "quantity": quantity}], **more}


async def completed(town: Town, quantity: int, method: str = "pm_ok") -> UUID:
    order_id = await town.order(quantity, method)
    assert await town.settled(order_id, 60) == "COMPLETED"
    return order_id


async def test_an_order_is_shipped_and_delivered_and_its_customer_told(
    town: Town, counter: Counter
) -> None:
    order_id = await completed(town, 2)

    shipped = await counter.step(order_id, "ship")
    delivered = await counter.step(order_id, "deliver")

    assert [shipped.body["status"], delivered.body["status"]] == ["SHIPPED", "DELIVERED"]
    assert await counter.told("shipped")
    assert await town.cancel(order_id) == 409
    assert await town.stock() == (98, 0, 2)


async def test_a_part_goes_back_by_lines_and_onto_the_shelf(town: Town, counter: Counter) -> None:
    order_id = await completed(town, 5)

    asked = await counter.refund(order_id, **lanterns(2, restock=True))

    assert asked.status == 202
    assert await counter.ended(order_id) == [("SUCCEEDED", 2 * PRICE)]
    assert await eventually(lambda: shelf(town, (97, 0, 5)), 60)
    assert await counter.payment() == (5 * PRICE, 2 * PRICE)
    seen = await counter.seen(order_id)
    assert (seen["status"], seen["amountRefunded"]["amount"]) == ("COMPLETED", 2 * PRICE)
    assert await counter.told("refunded")


async def test_several_refunds_go_up_to_exactly_what_was_paid_and_no_further(
    town: Town, counter: Counter
) -> None:
    order_id = await completed(town, 4)
    await counter.step(order_id, "ship")

    answers = await asyncio.gather(
        counter.refund(order_id, **lanterns(1)),
        counter.refund(order_id, **lanterns(2)),
        counter.refund(order_id, **pounds(PRICE)),
    )
    one_more = await counter.refund(order_id, **pounds(1))
    ended = await counter.ended(order_id)
    and_now = await counter.refund(order_id, **pounds(1))

    assert [answer.status for answer in answers] == [202] * 3
    assert (one_more.status, one_more.code) == (422, "over_refund")
    assert (and_now.status, and_now.code) == (422, "over_refund")
    assert sorted(ended) == [("SUCCEEDED", n * PRICE) for n in (1, 1, 2)]
    assert await counter.payment() == (4 * PRICE, 4 * PRICE)
    assert (await counter.seen(order_id))["status"] == "SHIPPED"
    assert await counter.told("refunded", 3)
    assert await town.stock() == (96, 0, 4)


async def test_a_refund_that_the_provider_refuses_has_failed_and_may_be_asked_for_again(
    town: Town, counter: Counter
) -> None:
    order_id = await completed(town, 2, "pm_refund_fails")

    first = await counter.refund(order_id, **pounds(2 * PRICE))
    failed = await counter.ended(order_id)
    again = await counter.refund(order_id, **pounds(2 * PRICE))

    assert (first.status, again.status) == (202, 202)
    assert failed == [("FAILED", 2 * PRICE)]
    assert await counter.ended(order_id) == [("FAILED", 2 * PRICE), ("SUCCEEDED", 2 * PRICE)]
    assert await counter.payment() == (2 * PRICE, 2 * PRICE)


async def test_an_order_that_is_cancelled_after_a_refund_gives_back_the_rest(
    town: Town, counter: Counter
) -> None:
    order_id = await completed(town, 5)
    await counter.refund(order_id, **lanterns(2, restock=True))

    assert await town.cancel(order_id) == 202
    assert await eventually(lambda: cancelled(town, order_id), 60)

    assert await counter.ended(order_id) == [("SUCCEEDED", 2 * PRICE), ("SUCCEEDED", 3 * PRICE)]
    assert await counter.payment() == (5 * PRICE, 5 * PRICE)
    assert await town.stock() == (100, 0, 5)
    assert (await counter.refund(order_id, **pounds(1))).status == 409


async def cancelled(town: Town, order_id: UUID) -> bool:
    found = await town.db.fetchval(
        "SELECT status || saga FROM orders.orders WHERE order_id = $1", order_id
    )
    return bool(found == "CANCELLEDCOMPENSATED")


async def shelf(town: Town, counts: tuple[int, int, int]) -> bool:
    return await town.stock() == counts
