from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from order_service import handlers
from order_service.domain import Patience

from tests.support.orders import OrderDesk, partly
from tests.support.shop import API, Caller, Shop

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Short:
    """An order for two mugs and a pot, of which one mug is held, and its customer."""

    shop: Shop
    desk: OrderDesk
    customer: Caller
    order_id: UUID

    async def decide(
        self, body: Any, *, by: Caller | None = None, key: str | None = None
    ) -> httpx2.Response:
        """Post a decision, as the customer unless told who."""
        headers = (by or self.customer).headers(key)
        url = f"/orders/{self.order_id}/decision"
        return await self.shop.http.post(url, json=body, headers=headers)

    async def get(self, part: str = "") -> Any:
        """See the order as its customer does."""
        url = f"/orders/{self.order_id}{part}"
        return (await self.shop.http.get(url, headers=self.customer.headers())).json()

    async def said(self) -> list[str]:
        return await self.desk.said(self.order_id)


ACCEPT, LEAVE = {"choice": "accept_partial"}, {"choice": "cancel"}


@pytest_asyncio.fixture
async def short(shop: Shop) -> Short:
    await shop.sell(("mug", 255), ("pot", 339))
    customer, desk = shop.caller(), OrderDesk(shop.database)
    answer = await shop.place(customer, ("mug", 2), ("pot", 1))
    order_id = UUID(answer.json()["orderId"])
    await desk.hear(partly(order_id))
    return Short(shop, desk, customer, order_id)


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_the_customer_sees_what_is_offered_and_until_when(short: Short) -> None:
    order, status = await short.get(), await short.get("/status")
    listed = await short.shop.http.get("/orders", headers=short.customer.headers())

    assert (order["status"], order["saga"], order["total"]["amount"]) == (
        "ACTION_REQUIRED",
        "WAITING",
        849,
    )
    offer = order["offer"]
    assert [(line["sku"], line["quantity"]) for line in order["lines"]] == [("mug", 2), ("pot", 1)]
    assert [(line["sku"], line["quantity"]) for line in offer["lines"]] == [("mug", 1)]
    assert offer["lines"][0]["lineTotal"] == offer["total"] == {"amount": 255, "currency": "GBP"}
    assert offer["decision"] == f"{API}/orders/{short.order_id}/decision"
    assert offer["decideBy"] == status["decideBy"]
    assert listed.json()["data"][0]["offer"] == offer


async def test_what_is_accepted_is_the_order_from_then_on(short: Short) -> None:
    answer = await short.decide(ACCEPT)

    assert (answer.status_code, answer.json()["status"]) == (202, "PENDING")
    order, status = await short.get(), await short.get("/status")
    assert (order["status"], order["saga"]) == ("PENDING", "RUNNING")
    assert order["total"] == {"amount": 255, "currency": "GBP"}
    assert [(line["lineNo"], line["sku"], line["quantity"]) for line in order["lines"]] == [
        (1, "mug", 1)
    ]
    assert "offer" not in order
    assert "decideBy" not in status
    assert await short.said() == ["OrderPlaced", "OrderLinesAmended"]
    assert [entry["type"] for entry in (await short.get("/timeline"))["data"]] == [
        "OrderPlaced",
        "StockPartiallyReserved",
        "OrderLinesAmended",
    ]


async def test_what_is_left_is_a_cancelled_order(short: Short) -> None:
    answer = await short.decide(LEAVE)

    assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLING")
    order = await short.get()
    assert (order["status"], order["reason"]) == ("CANCELLING", "cancelled_by_customer")
    assert "offer" not in order
    assert await short.said() == ["OrderPlaced", "OrderCancelRequested"]


async def test_staff_decides_for_a_customer(short: Short) -> None:
    answer = await short.decide(LEAVE, by=short.shop.caller("staff"))

    assert answer.status_code == 202
    assert (await short.get())["reason"] == "cancelled_by_staff"


async def test_another_customers_order_looks_like_none(short: Short) -> None:
    stranger = short.shop.caller()

    theirs = await short.decide(ACCEPT, by=stranger)
    url = f"/orders/{uuid4()}/decision"
    absent = await short.shop.http.post(url, json=ACCEPT, headers=stranger.headers())

    own = {"traceId": "", "instance": ""}
    assert refusal(theirs) == (404, "not_found")
    assert theirs.json() | own == absent.json() | own
    assert (await short.get())["status"] == "ACTION_REQUIRED"


@pytest.mark.parametrize("swept", [False, True], ids=["before the sweep", "after the sweep"])
@pytest.mark.parametrize("body", [ACCEPT, LEAVE], ids=["accept", "cancel"])
async def test_a_decision_after_its_time_is_gone(
    short: Short, body: dict[str, str], *, swept: bool
) -> None:
    await short.desk.move(short.order_id, "deadline_at", -HOUR)
    if swept:
        async with short.shop.database.transaction() as tx:
            assert await handlers.expire_orders(tx, limit=9, patience=Patience()) == 1

    answer = await short.decide(body)

    assert refusal(answer) == (410, "decision_expired")
    assert "OrderLinesAmended" not in await short.said()


async def test_an_order_that_is_not_short_has_nothing_to_decide(shop: Shop) -> None:
    await shop.sell(("mug", 255))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("mug", 1))).json()["orderId"]

    url = f"/orders/{order_id}/decision"
    answer = await shop.http.post(url, json=ACCEPT, headers=customer.headers())

    assert refusal(answer) == (409, "invalid_state")


async def test_a_decision_that_is_sent_again_gets_the_first_answer(short: Short) -> None:
    first = await short.decide(ACCEPT, key="again")
    second = await short.decide(ACCEPT, key="again")
    other = await short.decide(LEAVE, key="again")
    new = await short.decide(ACCEPT, key="new")

    assert (second.status_code, second.content) == (202, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    assert refusal(other) == (422, "idempotency_mismatch")
    assert refusal(new) == (409, "invalid_state")
    assert await short.said() == ["OrderPlaced", "OrderLinesAmended"]


async def test_a_refused_decision_leaves_its_key_free(short: Short) -> None:
    await short.desk.move(short.order_id, "deadline_at", -HOUR)
    assert (await short.decide(ACCEPT, key="mine")).status_code == 410
    await short.desk.move(short.order_id, "deadline_at", HOUR)

    assert (await short.decide(LEAVE, key="mine")).status_code == 202


async def test_a_decision_without_a_key_is_refused(short: Short) -> None:
    headers = {"Authorization": f"Bearer {short.customer.token}"}
    url = f"/orders/{short.order_id}/decision"

    answer = await short.shop.http.post(url, json=ACCEPT, headers=headers)

    assert refusal(answer) == (400, "idempotency_key_required")


async def test_of_many_decisions_at_once_one_counts(short: Short) -> None:
    cancel = f"/orders/{short.order_id}/cancel"

    answers = await asyncio.gather(
        *(short.decide(body) for body in (ACCEPT, LEAVE) * 3),
        short.shop.http.post(cancel, headers=short.customer.headers()),
    )

    # An order that was accepted in part can still be cancelled; a decision counts once.
    decisions = sorted(answer.status_code for answer in answers[:-1])
    assert decisions in ([202, *[409] * 5], [409] * 6)
    said = await short.said()
    assert len(said) == len(set(said))
    assert said[1:] in (
        ["OrderLinesAmended"],
        ["OrderCancelRequested"],
        ["OrderLinesAmended", "OrderCancelRequested"],
    )


async def test_a_decision_and_the_end_of_its_time_never_both_count(short: Short) -> None:
    await short.desk.move(short.order_id, "deadline_at", timedelta(minutes=-10, milliseconds=30))

    async def expire() -> int:
        async with short.shop.database.transaction() as tx:
            return await handlers.expire_orders(tx, limit=9, patience=Patience())

    races = [each for _ in range(10) for each in (short.decide(ACCEPT), expire())]
    outcomes = await asyncio.gather(*races)
    expired = sum(each for each in outcomes if isinstance(each, int))
    codes = [each.status_code for each in outcomes if isinstance(each, httpx2.Response)]
    if not expired and 202 not in codes:
        expired = await expire()

    assert codes.count(202) + expired == 1
    assert await short.said() == ["OrderPlaced", "OrderExpired" if expired else "OrderLinesAmended"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choice": None},
        {"choice": "ACCEPT_PARTIAL"},
        {"choice": ["accept_partial"]},
        {"choice": True},
        {"choice": "x" * 10_000},
        {"choice": "cancel", "total": 1},
        [],
        "accept_partial",
    ],
    ids=repr,
)
async def test_a_decision_is_one_of_two_words(short: Short, body: object) -> None:
    answer = await short.decide(body)

    assert refusal(answer) == (422, "validation_failed")
    assert (await short.get())["status"] == "ACTION_REQUIRED"


async def test_a_decision_with_a_character_that_no_text_has_is_refused(short: Short) -> None:
    answer = await short.decide({"choice": "accept_partial\x00"})

    assert answer.status_code == 400
    assert (await short.get())["status"] == "ACTION_REQUIRED"
