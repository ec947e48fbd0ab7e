from __future__ import annotations

import asyncio
from http import HTTPStatus
from uuid import uuid4

import pytest
from common.idempotency import fingerprint
from order_service.api.bodies import PlaceOrderBody

from tests.support.shop import Shop

pytestmark = pytest.mark.postgres

CANCEL = "POST /orders/{id}/cancel"


async def test_the_same_key_and_body_get_the_same_answer_byte_for_byte(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()

    first = await shop.place(customer, ("TEA", 2), key="again")
    second = await shop.place(customer, ("TEA", 2), key="again")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert first.headers["location"] == second.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(await shop.rows("SELECT FROM orders")) == 1


async def test_a_hundred_equal_requests_at_once_make_one_order(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()

    answers = await asyncio.gather(
        *(shop.place(customer, ("TEA", 2), key="double-click") for _ in range(100))
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 99
    assert len(await shop.rows("SELECT FROM orders")) == 1


async def test_the_order_of_members_and_the_spaces_do_not_make_another_body(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    headers = shop.caller().headers() | {"Content-Type": "application/json"}
    one = b'{"items":[{"sku":"TEA","quantity":1}],"paymentMethod":"pm_ok"}'
    other = b'{ "paymentMethod": "pm_ok", "items": [ {"quantity": 1, "productId": "TEA"} ] }'

    first = await shop.http.post("/orders", content=one, headers=headers)
    second = await shop.http.post("/orders", content=other, headers=headers)

    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"


async def test_a_default_that_is_spelt_out_does_not_make_another_body(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    headers = shop.caller().headers()
    short = {"items": [{"sku": "TEA", "quantity": 1}]}
    long = short | {"paymentMethod": "pm_card", "shippingAddress": None}

    first, second = [
        await shop.http.post("/orders", json=body, headers=headers) for body in (short, long)
    ]

    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"


async def test_a_key_with_another_body_is_refused(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    await shop.place(customer, ("TEA", 2), key="reused")

    answer = await shop.place(customer, ("TEA", 3), key="reused")

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == "idempotency_mismatch"


async def test_two_bodies_at_once_under_one_key_make_one_order(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()

    answers = await asyncio.gather(
        *(shop.place(customer, ("TEA", quantity), key="race") for quantity in (1, 2))
    )

    assert sorted(answer.status_code for answer in answers) == [202, 422]


async def test_another_customer_with_the_same_key_gets_an_order_of_their_own(shop: Shop) -> None:
    await shop.sell(("TEA", 250))

    first = await shop.place(shop.caller(), ("TEA", 2), key="popular")
    second = await shop.place(shop.caller(), ("TEA", 3), key="popular")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["orderId"] != second.json()["orderId"]
    assert "idempotency-replayed" not in second.headers


async def test_another_customers_key_reveals_nothing(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    owner, stranger = shop.caller(), shop.caller()
    order_id = (await shop.place(owner, ("TEA", 1), key="theirs")).json()["orderId"]
    await shop.http.post(f"/orders/{order_id}/cancel", headers=owner.headers("theirs"))

    used, unused = [
        await shop.http.post(f"/orders/{order_id}/cancel", headers=stranger.headers(key))
        for key in ("theirs", "nobodys")
    ]

    own = {"traceId": "", "instance": ""}
    assert (used.status_code, used.json()["code"]) == (404, "not_found")
    assert used.json() | own == unused.json() | own
    assert used.headers.keys() == unused.headers.keys()


async def test_two_equal_orders_under_two_keys_are_two_orders(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()

    first = await shop.place(customer, ("TEA", 2))
    second = await shop.place(customer, ("TEA", 2))

    assert first.json()["orderId"] != second.json()["orderId"]


async def test_a_refused_order_leaves_its_key_free(shop: Shop) -> None:
    customer = shop.caller()
    refused = await shop.place(customer, ("TEA", 2), key="too-early")
    await shop.sell(("TEA", 250))

    answer = await shop.place(customer, ("TEA", 2), key="too-early")

    assert refused.json()["code"] == "unknown_product"
    assert answer.status_code == HTTPStatus.ACCEPTED
    assert "idempotency-replayed" not in answer.headers


async def test_a_repeated_cancel_is_answered_as_the_first_one_was(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("TEA", 2), key="one-key")).json()["orderId"]
    url = f"/orders/{order_id}/cancel"

    first = await shop.http.post(url, headers=customer.headers("one-key"))
    second = await shop.http.post(url, headers=customer.headers("one-key"))

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    closings = "SELECT FROM order_events WHERE type = 'OrderCancelRequested'"
    assert len(await shop.rows(closings)) == 1


async def test_a_cancel_key_used_for_another_order_is_refused(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    one, other = [(await shop.place(customer, ("TEA", 1))).json()["orderId"] for _ in range(2)]
    await shop.http.post(f"/orders/{one}/cancel", headers=customer.headers("k"))

    answer = await shop.http.post(f"/orders/{other}/cancel", headers=customer.headers("k"))

    assert answer.json()["code"] == "idempotency_mismatch"


async def test_a_refused_cancel_leaves_its_key_free(shop: Shop) -> None:
    customer = shop.caller()
    url = f"/orders/{uuid4()}/cancel"

    answers = [await shop.http.post(url, headers=customer.headers("k")) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert not await shop.rows("SELECT FROM idempotency_keys")


@pytest.mark.parametrize("route", ["/orders", f"/orders/{uuid4()}/cancel"], ids=["place", "cancel"])
async def test_a_key_held_by_another_process_is_in_flight(shop: Shop, route: str) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    template = CANCEL if route.endswith("cancel") else "POST /orders"
    body = {"items": [{"sku": "TEA", "quantity": 1}]} if route == "/orders" else {}

    async with shop.database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO idempotency_keys (principal, route, key, fingerprint, status, body,
                                          created_at)
            VALUES ($1, $2, 'held', '', 202, '', now())
            """,
            customer.id,
            template,
        )
        answer = await shop.http.post(route, json=body, headers=customer.headers("held"))

    assert answer.status_code == HTTPStatus.CONFLICT
    assert answer.json()["code"] == "idempotency_in_flight"
    assert answer.json()["retryable"] is True
    assert int(answer.headers["retry-after"]) >= 1


def test_a_fingerprint_depends_on_what_is_said_and_where() -> None:
    body = PlaceOrderBody.model_validate_json('{"items":[{"sku":"A","quantity":1}]}')
    other = PlaceOrderBody.model_validate_json('{"items":[{"sku":"A","quantity":2}]}')

    prints = {
        fingerprint(body),
        fingerprint(body, "here"),
        fingerprint(body, "there"),
        fingerprint(other),
    }

    assert len(prints) == 4
