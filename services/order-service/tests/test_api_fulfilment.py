from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import httpx2
import pytest

from tests.support.orders import OrderDesk
from tests.support.shop import Caller, Shop

pytestmark = pytest.mark.postgres


async def completed(shop: Shop, customer: Caller) -> UUID:
    """Have a customer whose order is paid for."""
    await shop.sell(("TEA", 250))
    order_id = UUID((await shop.place(customer, ("TEA", 2))).json()["orderId"])
    await OrderDesk(shop.database).complete(order_id)
    return order_id


async def step(shop: Shop, caller: Caller, order_id: object, name: str) -> httpx2.Response:
    return await shop.http.post(f"/orders/{order_id}/{name}", headers=caller.headers())


async def test_staff_ships_an_order_and_notes_that_it_arrived(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)

    shipped = await step(shop, staff, order_id, "ship")
    delivered = await step(shop, staff, order_id, "deliver")

    assert (shipped.status_code, shipped.json()["status"]) == (200, "SHIPPED")
    assert (delivered.status_code, delivered.json()["status"]) == (200, "DELIVERED")
    assert (delivered.json()["saga"], delivered.json()["terminal"]) == ("COMPLETED", True)
    assert (await OrderDesk(shop.database).said(order_id))[-2:] == [
        "OrderShipped",
        "OrderDelivered",
    ]


async def test_the_timeline_tells_who_and_the_audit_tells_who_exactly(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)
    await step(shop, staff, order_id, "ship")

    url = f"/orders/{order_id}/timeline"
    entries = (await shop.http.get(url, headers=customer.headers())).json()["data"]

    assert (entries[-1]["type"], entries[-1]["by"]) == ("OrderShipped", "staff")
    assert "by" not in entries[0]
    (act,) = await shop.rows("SELECT principal, action, target FROM ops_audit")
    assert tuple(act) == (staff.id, "order.ship", str(order_id))


async def test_a_step_that_is_asked_for_again_is_answered_alike_and_taken_once(
    shop: Shop,
) -> None:
    staff = shop.caller("staff")
    order_id = await completed(shop, shop.caller())

    answers = await asyncio.gather(*(step(shop, staff, order_id, "ship") for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert (await OrderDesk(shop.database).history(order_id)).count("OrderShipped") == 1
    assert len(await shop.rows("SELECT FROM ops_audit")) == 1


@pytest.mark.parametrize("name", ["ship", "deliver"])
async def test_only_staff_takes_these_steps(shop: Shop, name: str) -> None:
    customer = shop.caller()
    order_id = await completed(shop, customer)

    for caller in (customer, shop.caller(), shop.caller("operator")):
        answer = await step(shop, caller, order_id, name)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")

    assert (await OrderDesk(shop.database).order(order_id)).status == "COMPLETED"


@pytest.mark.parametrize("name", ["ship", "deliver"])
async def test_an_order_that_is_not_there_is_not_found(shop: Shop, name: str) -> None:
    answer = await step(shop, shop.caller("admin"), uuid4(), name)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_what_is_shipped_is_not_cancelled_any_more(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)
    await step(shop, staff, order_id, "ship")

    answer = await step(shop, customer, order_id, "cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")


async def test_a_cancellation_and_a_shipment_at_once_are_one_of_both(shop: Shop) -> None:
    customer, staff = shop.caller(), shop.caller("staff")
    order_id = await completed(shop, customer)

    answers = await asyncio.gather(
        step(shop, customer, order_id, "cancel"), step(shop, staff, order_id, "ship")
    )

    assert sorted(answer.status_code for answer in answers) in ([200, 409], [202, 409])
