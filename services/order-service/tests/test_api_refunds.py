from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from order_service.messages import Money, PaymentRefunded, RefundFailed

from tests.support.orders import OrderDesk
from tests.support.shop import API, Caller, Shop

pytestmark = pytest.mark.postgres

TOTAL = 5 * 250 + 499


async def completed(shop: Shop, customer: Caller) -> UUID:
    """Have an order of five teas and a cup that is paid for."""
    await shop.sell(("TEA", 250), ("CUP", 499))
    order_id = UUID((await shop.place(customer, ("TEA", 5), ("CUP", 1))).json()["orderId"])
    await OrderDesk(shop.database).complete(order_id)
    return order_id


def amount(pence: int, currency: str = "GBP") -> dict[str, Any]:
    return {"amount": {"amount": pence, "currency": currency}, "reason": "damaged"}


def lines(*wanted: tuple[int, int], **more: Any) -> dict[str, Any]:
    items = [{"lineNo": line_no, "quantity": quantity} for line_no, quantity in wanted]
    return {"lines": items, "reason": "damaged", **more}


async def ask(
    shop: Shop, caller: Caller, order_id: object, body: Any, key: str | None = None
) -> httpx2.Response:
    headers = caller.headers(key)
    return await shop.http.post(f"/orders/{order_id}/refunds", json=body, headers=headers)


async def get(shop: Shop, caller: Caller, path: str) -> httpx2.Response:
    return await shop.http.get(path.removeprefix(API), headers=caller.headers())


async def test_a_refund_is_accepted_with_where_to_look(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)

    answer = await ask(shop, staff, order_id, lines((1, 2), restock=True))

    accepted = answer.json()
    assert (answer.status_code, accepted["state"]) == (202, "REQUESTED")
    assert answer.headers["location"] == accepted["links"]["self"]
    seen = (await get(shop, staff, answer.headers["location"])).json()
    assert seen | {"requestedAt": "", "updatedAt": ""} == {
        "refundId": accepted["refundId"],
        "orderId": str(order_id),
        "state": "REQUESTED",
        "amount": {"amount": 500, "currency": "GBP"},
        "reason": "damaged",
        "requestedBy": "staff",
        "lines": [{"lineNo": 1, "sku": "TEA", "quantity": 2}],
        "restock": True,
        "requestedAt": "",
        "updatedAt": "",
        "links": {"self": accepted["links"]["self"], "order": f"{API}/orders/{order_id}"},
    }
    assert (await OrderDesk(shop.database).said(order_id))[-1] == "RefundRequested"


async def test_a_refund_ends_as_payment_says(shop: Shop) -> None:
    customer, staff, desk = shop.caller(), shop.caller("staff"), OrderDesk(shop.database)
    order_id = await completed(shop, customer)
    good, bad = [(await ask(shop, staff, order_id, amount(n))).json() for n in (100, 200)]
    part = Money(amount=100, currency="GBP")

    await desk.hear(
        PaymentRefunded(
            order_id=order_id,
            refund_id=UUID(good["refundId"]),
            amount=part,
            cumulative=part,
            closing=False,
        ),
        RefundFailed(
            order_id=order_id,
            refund_id=UUID(bad["refundId"]),
            amount=part,
            code="expired_card",
            closing=False,
        ),
    )

    seen = [(await get(shop, customer, each["links"]["self"])).json() for each in (good, bad)]
    order = (await get(shop, customer, f"/orders/{order_id}")).json()
    assert [each["state"] for each in seen] == ["SUCCEEDED", "FAILED"]
    assert [each.get("failureCode") for each in seen] == [None, "expired_card"]
    assert (order["status"], order["amountRefunded"]["amount"]) == ("COMPLETED", 100)


async def test_what_failed_can_be_asked_for_again(shop: Shop) -> None:
    staff, desk = shop.caller("staff"), OrderDesk(shop.database)
    order_id = await completed(shop, shop.caller())
    first = await ask(shop, staff, order_id, amount(TOTAL))
    too_much = await ask(shop, staff, order_id, amount(1))

    await desk.hear(
        RefundFailed(
            order_id=order_id,
            refund_id=UUID(first.json()["refundId"]),
            amount=Money(amount=TOTAL, currency="GBP"),
            code="expired_card",
            closing=False,
        )
    )
    again = await ask(shop, staff, order_id, amount(TOTAL))

    assert (too_much.status_code, too_much.json()["code"]) == (422, "over_refund")
    assert again.status_code == 202


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"reason": "damaged"}, "validation_failed", "/amount"),
        (amount(1) | lines((1, 1)), "validation_failed", "/amount"),
        (amount(1) | {"restock": True}, "validation_failed", "/restock"),
        (amount(1) | {"reason": "It broke."}, "validation_failed", "/reason"),
        (amount(1) | {"reason": "a\x00b"}, "malformed_json", ""),
        ({"amount": {"amount": 1, "currency": "GBP"}}, "validation_failed", "/reason"),
        (amount(0), "validation_failed", "/amount/amount"),
        (amount(-1), "validation_failed", "/amount/amount"),
        (amount(2**63), "validation_failed", "/amount/amount"),
        ({"amount": "1", "reason": "x"}, "validation_failed", "/amount"),
        ({"amount": 1.5, "reason": "x"}, "validation_failed", "/amount"),
        (amount(1, "EUR"), "currency_mismatch", ""),
        (amount(TOTAL + 1), "over_refund", ""),
        (lines(), "validation_failed", "/lines"),
        (lines((0, 1)), "validation_failed", "/lines/0/lineNo"),
        (lines((3, 1)), "validation_failed", "/lines/0/lineNo"),
        (lines((1, 0)), "validation_failed", "/lines/0/quantity"),
        (lines((1, 6)), "over_refund", "/lines/0/quantity"),
        (lines((1, 1), restock="yes"), "validation_failed", "/restock"),
        (amount(1) | {"refundId": str(uuid4())}, "validation_failed", "/refundId"),
    ],
    ids=str,
)
async def test_what_can_not_be_given_back_is_refused_and_leaves_nothing(
    shop: Shop, body: dict[str, Any], code: str, pointer: str
) -> None:
    order_id = await completed(shop, shop.caller())

    answer = await ask(shop, shop.caller("staff"), order_id, body)

    assert answer.status_code == (400 if code == "malformed_json" else 422)
    assert answer.json()["code"] == code
    assert {each["pointer"] for each in answer.json().get("errors", [])} == {pointer} - {""}
    assert not await shop.rows("SELECT FROM refunds")
    assert not await shop.rows("SELECT FROM idempotency_keys WHERE route LIKE '%refunds'")


async def test_an_order_that_is_not_completed_is_not_refunded(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    order_id = (await shop.place(shop.caller(), ("TEA", 1))).json()["orderId"]

    answer = await ask(shop, shop.caller("staff"), order_id, amount(1))

    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")


async def test_parallel_refunds_never_give_back_more_than_was_paid(shop: Shop) -> None:
    staff = shop.caller("staff")
    order_id = await completed(shop, shop.caller())

    answers = await asyncio.gather(*(ask(shop, staff, order_id, lines((1, 1))) for _ in range(12)))

    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [422] * 7
    (row,) = await shop.rows("SELECT count(*) AS n, sum(amount)::int AS pence FROM refunds")
    assert (row["n"], row["pence"]) == (5, 1250)


async def test_a_key_stands_for_one_refund(shop: Shop) -> None:
    staff, colleague = shop.caller("staff"), shop.caller("staff")
    order_id = await completed(shop, shop.caller())

    same = await asyncio.gather(
        *(ask(shop, staff, order_id, amount(100), "one-key") for _ in range(10))
    )
    other = await ask(shop, staff, order_id, amount(101), "one-key")
    theirs = await ask(shop, colleague, order_id, amount(100), "one-key")

    assert {answer.status_code for answer in same} == {202}
    assert len({answer.content for answer in same}) == 1
    assert len({answer.headers["location"] for answer in same}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in same) == 9
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert theirs.json()["refundId"] != same[0].json()["refundId"]
    assert len(await shop.rows("SELECT FROM refunds")) == 2


async def test_a_key_is_needed(shop: Shop) -> None:
    staff = shop.caller("staff")
    headers = {"Authorization": f"Bearer {staff.token}"}

    answer = await shop.http.post(f"/orders/{uuid4()}/refunds", json=amount(1), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")


async def test_a_customer_sees_their_refunds_and_makes_none(shop: Shop) -> None:
    customer, stranger, staff = shop.caller(), shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)
    url = (await ask(shop, staff, order_id, amount(100))).headers["location"]

    own = await ask(shop, customer, order_id, amount(100))
    seen = [await get(shop, customer, path) for path in (url, f"/orders/{order_id}/refunds")]
    hidden = [await get(shop, stranger, path) for path in (url, f"/orders/{order_id}/refunds")]

    assert (own.status_code, own.json()["code"]) == (403, "forbidden")
    assert [answer.status_code for answer in seen] == [200, 200]
    assert [answer.status_code for answer in hidden] == [404, 404]
    absent = await get(shop, stranger, f"/orders/{uuid4()}/refunds")
    same = {"traceId": "", "instance": ""}
    assert absent.json() | same == hidden[1].json() | same


async def test_a_refund_is_found_under_its_own_order_only(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)
    other = (await shop.place(customer, ("TEA", 1))).json()["orderId"]
    refund_id = (await ask(shop, staff, order_id, amount(100))).json()["refundId"]

    for path in (f"/orders/{other}/refunds/{refund_id}", f"/orders/{order_id}/refunds/{uuid4()}"):
        assert (await get(shop, customer, path)).status_code == 404


async def test_refunds_are_paged_newest_first(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)
    made = [
        (await ask(shop, staff, order_id, amount(n))).json()["refundId"] for n in range(100, 105)
    ]

    seen: list[str] = []
    url = f"/orders/{order_id}/refunds?limit=2"
    while url:
        answer = await get(shop, customer, url)
        seen += [refund["refundId"] for refund in answer.json()["data"]]
        url = answer.headers.get("link", "").partition(">")[0].removeprefix("<")

    assert seen == made[::-1]


async def test_a_cursor_of_another_orders_refunds_is_refused(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)
    other = (await shop.place(customer, ("TEA", 1))).json()["orderId"]
    for pence in (1, 2):
        await ask(shop, staff, order_id, amount(pence))
    cursor = (await get(shop, customer, f"/orders/{order_id}/refunds?limit=1")).json()["nextCursor"]

    answer = await get(shop, customer, f"/orders/{other}/refunds?cursor={cursor}")

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_what_a_cancellation_gives_back_is_seen_as_a_refund(shop: Shop) -> None:
    customer, desk = shop.caller(), OrderDesk(shop.database)
    order_id = await completed(shop, customer)
    await shop.http.post(f"/orders/{order_id}/cancel", headers=customer.headers())
    total = Money(amount=TOTAL, currency="GBP")

    await desk.hear(
        PaymentRefunded(
            order_id=order_id, refund_id=uuid4(), amount=total, cumulative=total, closing=True
        )
    )

    (refund,) = (await get(shop, customer, f"/orders/{order_id}/refunds")).json()["data"]
    assert (refund["state"], refund["reason"]) == ("SUCCEEDED", "order_closed")
    assert (refund["requestedBy"], refund["amount"]["amount"]) == ("system", TOTAL)


async def test_it_is_noted_who_gave_money_back(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)
    refund_id = (await ask(shop, staff, order_id, amount(100))).json()["refundId"]

    (act,) = await shop.rows("SELECT principal, action, target, note FROM ops_audit")
    timeline = (await get(shop, customer, f"/orders/{order_id}/timeline")).json()["data"]

    assert tuple(act) == (staff.id, "order.refund", str(order_id), f"{refund_id}: damaged")
    assert (timeline[-1]["type"], timeline[-1]["by"]) == ("RefundRequested", "staff")
