from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import httpx2
import pytest
from order_service.domain import Status

from tests.support.shop import API, Caller, Shop

pytestmark = pytest.mark.postgres


async def test_a_placed_order_is_accepted_with_where_to_look(shop: Shop) -> None:
    await shop.sell(("TEA", 250))

    answer = await shop.place(shop.caller(), ("TEA", 2))

    accepted = answer.json()
    order_id = accepted["orderId"]
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{API}/orders/{order_id}"
    assert UUID(order_id).version == 7
    assert accepted["status"] == "PENDING"
    assert accepted["message"]
    assert accepted["links"] == {
        "self": f"{API}/orders/{order_id}",
        "status": f"{API}/orders/{order_id}/status",
        "events": f"{API}/orders/{order_id}/events",
        "timeline": f"{API}/orders/{order_id}/timeline",
        "cancel": f"{API}/orders/{order_id}/cancel",
    }


async def test_an_order_shows_its_lines_at_our_prices(shop: Shop) -> None:
    await shop.sell(("TEA", 250), ("CUP", 499))
    customer = shop.caller()
    placed = await shop.place(customer, ("TEA", 2), ("CUP", 1))

    answer = await shop.http.get(
        placed.json()["links"]["self"].removeprefix(API), headers=customer.headers()
    )

    order = answer.json()
    assert order.keys() == {
        "orderId",
        "status",
        "saga",
        "lines",
        "total",
        "amountRefunded",
        "createdAt",
        "updatedAt",
        "links",
    }
    assert order["lines"][0] == {
        "lineNo": 1,
        "sku": "TEA",
        "name": "Product TEA",
        "quantity": 2,
        "unitPrice": {"amount": 250, "currency": "GBP"},
        "lineTotal": {"amount": 500, "currency": "GBP"},
    }
    assert order["total"] == {"amount": 999, "currency": "GBP"}
    assert order["amountRefunded"] == {"amount": 0, "currency": "GBP"}
    assert datetime.fromisoformat(order["createdAt"]).utcoffset() == timedelta(0)


async def test_the_same_product_on_two_lines_is_one_line(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    body = {"items": [{"sku": "TEA", "quantity": 2}, {"productId": "TEA", "quantity": 3}]}

    placed = await shop.http.post("/orders", json=body, headers=customer.headers())
    order = await _get(shop, customer, placed.json()["orderId"])

    assert [(line["sku"], line["quantity"]) for line in order.json()["lines"]] == [("TEA", 5)]


async def test_each_order_goes_on_with_the_trace_of_its_own_request(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    body = {"items": [{"sku": "TEA", "quantity": 1}]}
    traces = [f"00-{n:032x}-00000000000000aa-01" for n in (1, 2, 3)]

    answers = await asyncio.gather(
        *(
            shop.http.post(
                "/orders",
                json=body,
                headers=shop.caller().headers()
                | {"traceparent": trace, "X-Correlation-Id": f"story-{trace[34]}"},
            )
            for trace in traces
        )
    )

    rows = await shop.rows("SELECT aggregateid, header_names, header_values FROM outbox")
    said = {
        row["aggregateid"].decode(): dict(
            zip(row["header_names"], row["header_values"], strict=True)
        )
        for row in rows
    }
    for trace, answer in zip(traces, answers, strict=True):
        headers = said[answer.json()["orderId"]]
        assert headers[b"traceparent"].decode()[:35] == trace[:35]
        assert headers[b"ce_correlationid"].decode() == f"story-{trace[34]}"
        assert b"ce_causationid" not in headers


async def test_a_product_that_is_not_sold_is_named(shop: Shop) -> None:
    await shop.sell(("TEA", 250))

    answer = await shop.place(shop.caller(), ("TEA", 1), ("GONE", 1))

    assert answer.status_code == 422
    assert answer.json()["code"] == "unknown_product"
    assert answer.json()["errors"][0]["pointer"] == "/items/1/sku"


async def test_products_of_two_currencies_are_two_orders(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    await shop.sell(("SAKE", 4000), currency="JPY")

    answer = await shop.place(shop.caller(), ("TEA", 1), ("SAKE", 1))

    assert (answer.status_code, answer.json()["code"]) == (422, "currency_mismatch")


async def test_an_order_that_did_not_change_is_not_sent_again(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("TEA", 1))).json()["orderId"]
    etag = (await _get(shop, customer, order_id)).headers["etag"]
    url = f"/orders/{order_id}"

    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        headers = customer.headers() | {"If-None-Match": given}
        answer = await shop.http.get(url, headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag

    await shop.http.post(f"{url}/cancel", headers=customer.headers())
    changed = await shop.http.get(url, headers=customer.headers() | {"If-None-Match": etag})
    assert changed.status_code == 200


async def test_status_tells_where_an_order_is(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("TEA", 1))).json()["orderId"]

    answer = await shop.http.get(f"/orders/{order_id}/status", headers=customer.headers())

    assert answer.json() | {"updatedAt": ""} == {
        "orderId": order_id,
        "status": "PENDING",
        "saga": "RUNNING",
        "updatedAt": "",
        "terminal": False,
    }


async def test_the_timeline_tells_what_happened_in_order(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("TEA", 1))).json()["orderId"]
    await shop.http.post(f"/orders/{order_id}/cancel", headers=customer.headers())

    answer = await shop.http.get(f"/orders/{order_id}/timeline", headers=customer.headers())

    entries = answer.json()["data"]
    assert [entry["type"] for entry in entries] == ["OrderPlaced", "OrderCancelRequested"]
    assert entries[0].keys() == {"type", "at", "service", "eventId", "causationId"}
    assert {entry["service"] for entry in entries} == {"order-service"}


async def test_a_cancelled_order_is_on_its_way_to_the_end(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("TEA", 1))).json()["orderId"]

    answer = await shop.http.post(f"/orders/{order_id}/cancel", headers=customer.headers())
    order = await _get(shop, customer, order_id)

    assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLING")
    assert (order.json()["status"], order.json()["reason"]) == (
        "CANCELLING",
        "cancelled_by_customer",
    )


async def test_an_order_is_cancelled_once(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    order_id = (await shop.place(customer, ("TEA", 1))).json()["orderId"]
    url = f"/orders/{order_id}/cancel"

    answers = await asyncio.gather(
        *(shop.http.post(url, headers=customer.headers()) for _ in range(5))
    )

    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"invalid_state"}


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", ""),
        ("GET", "/status"),
        ("GET", "/events"),
        ("GET", "/timeline"),
        ("POST", "/cancel"),
    ],
    ids=["order", "status", "events", "timeline", "cancel"],
)
async def test_another_customers_order_looks_like_none(shop: Shop, method: str, route: str) -> None:
    await shop.sell(("TEA", 250))
    order_id = (await shop.place(shop.caller(), ("TEA", 1))).json()["orderId"]
    stranger = shop.caller()

    theirs, absent = [
        await shop.http.request(method, f"/orders/{each}{route}", headers=stranger.headers())
        for each in (order_id, uuid4())
    ]

    assert (theirs.status_code, absent.status_code) == (404, 404)
    own = {"traceId": "", "instance": ""}
    assert theirs.json() | own == absent.json() | own
    assert theirs.headers.keys() == absent.headers.keys()


async def test_another_customers_order_can_not_be_cancelled(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    owner, stranger = shop.caller(), shop.caller()
    order_id = (await shop.place(owner, ("TEA", 1))).json()["orderId"]

    answer = await shop.http.post(f"/orders/{order_id}/cancel", headers=stranger.headers())

    assert answer.status_code == 404
    assert (await _get(shop, owner, order_id)).json()["status"] == "PENDING"


async def test_staff_sees_and_cancels_everybodys_orders(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    owner, staff = shop.caller(), shop.caller("staff")
    order_id = (await shop.place(owner, ("TEA", 1))).json()["orderId"]

    seen = await _get(shop, staff, order_id)
    await shop.http.post(f"/orders/{order_id}/cancel", headers=staff.headers())

    assert seen.status_code == 200
    assert (await _get(shop, owner, order_id)).json()["reason"] == "cancelled_by_staff"


async def test_pages_show_every_order_once_and_the_newest_first(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    placed = [(await shop.place(customer, ("TEA", n))).json()["orderId"] for n in range(1, 6)]
    await shop.place(shop.caller(), ("TEA", 1))

    seen: list[str] = []
    url = "/orders?limit=2"
    while url:
        answer = await shop.http.get(url, headers=customer.headers())
        seen += [order["orderId"] for order in answer.json()["data"]]
        link = answer.headers.get("link", "")
        assert bool(link) == (answer.json()["nextCursor"] is not None)
        url = link.partition(">")[0].removeprefix(f"<{API}")

    assert seen == placed[::-1]


async def test_a_list_can_be_narrowed(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    one, other = [(await shop.place(customer, ("TEA", 1))).json()["orderId"] for _ in range(2)]
    await shop.http.post(f"/orders/{one}/cancel", headers=customer.headers())
    at = (await _get(shop, customer, other)).json()["createdAt"]

    async def listed(**query: str) -> list[str]:
        answer = await shop.http.get("/orders", params=query, headers=customer.headers())
        return [order["orderId"] for order in answer.json()["data"]]

    assert await listed(status="PENDING") == [other]
    assert await listed(status="CANCELLING") == [one]
    assert await listed(createdFrom=at) == [other]
    assert await listed(createdTo=at) == [one]
    assert await listed(createdFrom=at, createdTo=at) == []


async def test_staff_lists_across_customers_and_customers_do_not(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    ana, ben, staff = shop.caller(), shop.caller(), shop.caller("staff")
    for customer in (ana, ben, ben):
        await shop.place(customer, ("TEA", 1))

    everyones = await shop.http.get("/orders", headers=staff.headers())
    bens = await shop.http.get(f"/orders?customerId={ben.id}", headers=staff.headers())
    peek = await shop.http.get(f"/orders?customerId={ben.id}", headers=ana.headers())
    own = await shop.http.get(f"/orders?customerId={ana.id}", headers=ana.headers())

    assert [len(answer.json()["data"]) for answer in (everyones, bens, own)] == [3, 2, 1]
    assert (peek.status_code, peek.json()["code"]) == (403, "forbidden")


async def test_the_catalogue_is_paged_and_searched_without_an_account(shop: Shop) -> None:
    await shop.sell(("TEA", 250), ("CUP", 499), ("85123A", 255))

    first = (await shop.http.get("/products?limit=2")).json()
    second = (await shop.http.get(f"/products?limit=2&cursor={first['nextCursor']}")).json()
    found = (await shop.http.get("/products?q=product t")).json()
    wild = (await shop.http.get("/products?q=%25")).json()

    assert [product["sku"] for product in first["data"]] == ["85123A", "CUP"]
    assert [product["sku"] for product in second["data"]] == ["TEA"]
    assert second["nextCursor"] is None
    assert [product["sku"] for product in found["data"]] == ["TEA"]
    assert wild["data"] == []


async def test_a_product_shows_its_price_and_a_removed_one_is_gone(shop: Shop) -> None:
    await shop.sell(("TEA", 250), ("OLD", 100))
    async with shop.database.transaction() as tx:
        await tx.execute("UPDATE products SET removed_at = now() WHERE sku = 'OLD'")

    shown = await shop.http.get("/products/TEA")
    gone = await shop.http.get("/products/OLD")

    assert shown.json() == {
        "sku": "TEA",
        "name": "Product TEA",
        "price": {"amount": 250, "currency": "GBP"},
        "active": True,
        "available": "SOME",
    }
    assert gone.status_code == 404


async def test_the_public_keys_are_published_without_the_private_part(shop: Shop) -> None:
    answer = await shop.http.get("http://pedido/.well-known/jwks.json")

    (key,) = answer.json()["keys"]
    assert (key["kty"], key["crv"], key["alg"]) == ("EC", "P-256", "ES256")
    assert "d" not in key


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/orders"),
        ("GET", "/orders"),
        ("GET", f"/orders/{uuid4()}"),
        ("GET", f"/orders/{uuid4()}/status"),
        ("GET", f"/orders/{uuid4()}/timeline"),
        ("POST", f"/orders/{uuid4()}/cancel"),
        ("GET", "/auth/me"),
    ],
    ids=lambda value: value.partition("-")[0],
)
async def test_who_is_nobody_gets_nothing(shop: Shop, method: str, path: str) -> None:
    answer = await shop.http.request(
        method, path, json={} if method == "POST" else None, headers={"Idempotency-Key": "k"}
    )

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthenticated"


async def test_the_api_document_names_every_route_and_body(shop: Shop) -> None:
    document = (await shop.http.get("http://pedido/api/openapi.json")).json()

    place = document["paths"][f"{API}/orders"]["post"]
    schema = place["requestBody"]["content"]["application/json"]["schema"]
    headers = [each["name"] for each in place["parameters"]]
    assert schema["required"] == ["items"]
    assert schema["properties"].keys() == {"items", "paymentMethod", "shippingAddress"}
    assert headers == ["Idempotency-Key"]
    assert "202" in place["responses"]
    assert set(document["components"]["schemas"]["OrderView"]["properties"]["status"]) <= {"$ref"}
    assert document["components"]["schemas"]["Status"]["enum"] == [
        status.value for status in Status
    ]


async def _get(shop: Shop, caller: Caller, order_id: str) -> httpx2.Response:
    return await shop.http.get(f"/orders/{order_id}", headers=caller.headers())
