"""What owners and staff see of payments, and what nobody else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
import pytest_asyncio
from common.message import uuid7
from payment_service.messages import Money, RefundRequested

from tests.support.cashier import CUSTOMER, Cashier
from tests.support.payment_desk import PaymentDesk, open_payment_desk, problem, shown
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

ABSENT = UUID("0198f3a0-0009-7000-8000-000000000009")


@pytest_asyncio.fixture
async def desk(cashier: Cashier) -> AsyncIterator[PaymentDesk]:
    async with open_payment_desk(cashier.settings) as desk:
        yield desk


async def refunded_in_part(cashier: Cashier) -> tuple[UUID, UUID, UUID]:
    """Capture an order's money, give a part back, and answer order, payment and refund."""
    order_id, refund_id = await cashier.due(), uuid7()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.confirm(order_id)
        await eventually(partial(cashier.has, order_id, "CAPTURED"))
        part = Money(amount=678, currency="GBP")
        await cashier.hear(RefundRequested(order_id=order_id, refund_id=refund_id, amount=part))
        await eventually(partial(cashier.has, order_id, "CAPTURED"))
    return order_id, (await cashier.payment(order_id))["payment_id"], refund_id


async def test_staff_sees_a_payment_its_refunds_and_how_it_stands_with_the_provider(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id, payment_id, refund_id = await refunded_in_part(cashier)

    (listed,) = shown(await desk.get(f"/payments?orderId={order_id}"))["data"]
    alone = shown(await desk.get(f"/payments/{payment_id}"))
    refund = shown(await desk.get(f"/refunds/{refund_id}"))

    assert alone == listed
    assert (listed["orderId"], listed["wanted"], listed["have"]) == (
        str(order_id),
        "CAPTURED",
        "CAPTURED",
    )
    assert listed["amount"] == {"amount": 2208, "currency": "GBP"}
    assert (listed["captured"], listed["refunded"]) == (2208, 678)
    assert listed["provider"]["authorizationId"].startswith("pi_")
    assert listed["provider"]["operation"] is None
    assert listed["refunds"] == [refund]
    assert (refund["refundId"], refund["status"]) == (str(refund_id), "SUCCEEDED")
    assert refund["amount"] == {"amount": 678, "currency": "GBP"}


async def test_a_customer_sees_the_own_payment_without_the_providers_side(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id, payment_id, refund_id = await refunded_in_part(cashier)

    (listed,) = shown(await desk.get(f"/payments?orderId={order_id}", "customer", CUSTOMER))["data"]
    alone = shown(await desk.get(f"/payments/{payment_id}", "customer", CUSTOMER))
    refund = shown(await desk.get(f"/refunds/{refund_id}", "customer", CUSTOMER))

    assert alone == listed
    assert (listed["captured"], listed["refunded"], listed["provider"]) == (2208, 678, None)
    assert refund["amount"] == {"amount": 678, "currency": "GBP"}


@pytest.mark.parametrize("role", ["customer", "operator"])
async def test_a_list_holds_the_callers_own_payments(
    cashier: Cashier, desk: PaymentDesk, role: str
) -> None:
    order_id = await cashier.due()

    (own,) = shown(await desk.get("/payments", role, CUSTOMER))["data"]

    assert own["orderId"] == str(order_id)
    assert shown(await desk.get("/payments", role))["data"] == []


async def test_somebody_elses_payment_is_absent_in_the_same_words(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id, payment_id, refund_id = await refunded_in_part(cashier)

    for path, absent in (
        (f"/payments/{payment_id}", f"/payments/{ABSENT}"),
        (f"/refunds/{refund_id}", f"/refunds/{ABSENT}"),
    ):
        theirs, nobodys = await desk.get(path, "customer"), await desk.get(absent, "customer")
        assert problem(theirs) == problem(nobodys) == (404, "not_found")
        assert theirs.json()["detail"] == nobodys.json()["detail"]
    assert shown(await desk.get(f"/payments?orderId={order_id}", "customer"))["data"] == []


async def test_staff_pages_through_all_payments_newest_first(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_ids = [str(await cashier.due()) for _ in range(5)]

    pages, path = [], "/payments?limit=2"
    while path:
        answer = await desk.get(path)
        page = shown(answer)
        pages.append([each["orderId"] for each in page["data"]])
        link = answer.headers.get("link", "")
        assert ('rel="next"' in link) is (page["nextCursor"] is not None)
        path = f"/payments?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [each for page in pages for each in page] == order_ids[::-1]


async def test_staff_filters_by_state_and_time(cashier: Cashier, desk: PaymentDesk) -> None:
    held, declined = await cashier.due(), await cashier.due("pm_declined")
    async with cashier.charging():
        await eventually(partial(cashier.has, held, "AUTHORIZED"))
        await eventually(partial(cashier.has, declined, "DECLINED"))
    before = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")

    async def found(query: str) -> set[str]:
        return {each["orderId"] for each in shown(await desk.get(f"/payments?{query}"))["data"]}

    assert await found("have=DECLINED") == {str(declined)}
    assert await found(f"have=AUTHORIZED&createdFrom={before}") == {str(held)}
    assert await found(f"createdTo={before}") == set()


async def test_an_order_without_a_payment_has_an_empty_list(desk: PaymentDesk) -> None:
    assert shown(await desk.get(f"/payments?orderId={uuid7()}"))["data"] == []


@pytest.mark.parametrize(
    ("path", "role", "refusal"),
    [
        (f"/payments/{ABSENT}", "staff", (404, "not_found")),
        (f"/refunds/{ABSENT}", "operator", (404, "not_found")),
        (f"/payments/{ABSENT}", None, (401, "unauthenticated")),
        (f"/refunds/{ABSENT}", None, (401, "unauthenticated")),
        ("/payments", None, (401, "unauthenticated")),
        ("/payments/soon", "staff", (422, "validation_failed")),
        ("/payments/%00", "staff", (422, "validation_failed")),
        ("/refunds/1e400", "staff", (422, "validation_failed")),
        ("/payments?orderId=1", "staff", (422, "validation_failed")),
        ("/payments?all=1", "staff", (422, "validation_failed")),
        ("/payments?have=PAID", "staff", (422, "validation_failed")),
        ("/payments?limit=0", "staff", (422, "validation_failed")),
        ("/payments?limit=999999999999999999999", "staff", (422, "validation_failed")),
        ("/payments?cursor=AAAA", "staff", (422, "validation_failed")),
        ("/payments?createdFrom=yesterday", "staff", (422, "validation_failed")),
        ("/payments?createdFrom=2026-01-01T00:00:00", "staff", (422, "validation_failed")),
    ],
)
async def test_what_can_not_be_shown_is_a_problem(
    desk: PaymentDesk, path: str, role: str | None, refusal: tuple[int, str]
) -> None:
    assert problem(await desk.get(path, role)) == refusal


async def test_a_payment_shows_no_payment_method(cashier: Cashier, desk: PaymentDesk) -> None:
    order_id = await cashier.due("pm_secret")

    answer = await desk.get(f"/payments?orderId={order_id}")

    assert "pm_secret" not in answer.text
