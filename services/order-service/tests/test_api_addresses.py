"""A shipping address is shown to those whom it concerns, and is nowhere else."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from order_service import handlers
from order_service.api.addresses import ShippingAddressBody
from order_service.domain.addresses import COUNTRIES

from tests.support.shop import API, Caller, Shop

pytestmark = pytest.mark.postgres

ADDRESS: dict[str, Any] = {
    "name": "Ana Sentinela",
    "lines": ["Calle Sentinela 1", "2B"],
    "city": "Villasentinela",
    "region": "Sentinelia",
    "postalCode": "S3NT-1",
    "country": "ES",
}
TRACES = ("Sentinel", "sentinel", "S3NT")


async def place(
    shop: Shop, caller: Caller, address: Any = ADDRESS, key: str | None = None
) -> httpx2.Response:
    body = {"items": [{"sku": "TEA", "quantity": 1}], "shippingAddress": address}
    return await shop.http.post("/orders", json=body, headers=caller.headers(key))


async def get(shop: Shop, caller: Caller, placed: httpx2.Response) -> httpx2.Response:
    path = placed.json()["links"]["self"].removeprefix(API)
    return await shop.http.get(path, headers=caller.headers())


async def test_owner_and_staff_see_where_an_order_goes(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    placed = await place(shop, customer)

    for caller in (customer, shop.caller("staff")):
        assert (await get(shop, caller, placed)).json()["shippingAddress"] == ADDRESS
    assert (await get(shop, shop.caller(), placed)).status_code == 404


async def test_what_an_address_may_lack_is_null(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    given = {name: ADDRESS[name] for name in ("name", "lines", "city", "country")}

    seen = (await get(shop, customer, await place(shop, customer, given))).json()

    assert seen["shippingAddress"] == given | {"region": None, "postalCode": None}


async def test_an_order_without_an_address_has_none(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()

    for placed in (await place(shop, customer, None), await shop.place(customer, ("TEA", 1))):
        assert "shippingAddress" not in (await get(shop, customer, placed)).json()


async def test_an_address_is_in_its_own_table_and_nowhere_else(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    first, again = [await place(shop, customer, key="once") for _ in range(2)]
    refused = await place(shop, customer, ADDRESS | {"country": "Sentinelland"})
    listed = await shop.http.get("/orders", headers=customer.headers())
    timeline = await shop.http.get(
        first.json()["links"]["timeline"].removeprefix(API), headers=customer.headers()
    )

    tables = await shop.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'orders'")
    found = {
        name
        for (name,) in tables
        for row in await shop.rows(f'SELECT t::text AS row FROM "{name}" t')  # noqa: S608
        if any(trace in row["row"] for trace in TRACES)
    }
    assert found == {"shipping_addresses"}
    payloads = await shop.rows("SELECT payload FROM outbox")
    answers = await shop.rows("SELECT body FROM idempotency_keys")
    output = "".join(capfd.readouterr())
    said = [bytes(row[0]).decode("latin-1") for row in (*payloads, *answers)]
    said += [each.text for each in (first, again, refused, listed, timeline)]
    assert refused.status_code == 422
    assert not [text for text in (*said, output) if any(trace in text for trace in TRACES)]


async def test_the_key_stands_for_the_address_too(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    customer = shop.caller()
    await place(shop, customer, key="once")

    same = await place(shop, customer, key="once")
    other = await place(shop, customer, ADDRESS | {"city": "Elsewhere"}, key="once")

    assert same.headers["idempotency-replayed"] == "true"
    assert other.json()["code"] == "idempotency_mismatch"


async def test_an_address_is_forgotten_with_its_customer_and_the_order_stays(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    gone, other, staff = shop.caller(), shop.caller(), shop.caller("staff")
    theirs, others = await place(shop, gone), await place(shop, other)
    async with shop.database.transaction() as tx:
        command = handlers.AddAccount(gone.id, "ana@example.org", "Ana", "es")
        await handlers.add_account(tx, command, password_hash="x")

    async with shop.database.transaction() as tx:
        await handlers.erase_account(tx, gone.id)

    assert "shippingAddress" not in (await get(shop, staff, theirs)).json()
    assert (await get(shop, staff, others)).json()["shippingAddress"] == ADDRESS


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "\u202eanA"}, "/name"),
        ({"name": None}, "/name"),
        ({"lines": []}, "/lines"),
        ({"lines": ["a"] * 4}, "/lines"),
        ({"lines": ["a\nb"]}, "/lines/0"),
        ({"lines": "Calle Mayor 1"}, "/lines"),
        ({"city": 1}, "/city"),
        ({"postalCode": "28013!"}, "/postalCode"),
        ({"postalCode": "1" * 17}, "/postalCode"),
        ({"country": "es"}, "/country"),
        ({"country": "XX"}, "/country"),
        ({"country": "ESP"}, "/country"),
        ({"phone": "1"}, "/phone"),
    ],
    ids=str,
)
async def test_an_address_that_is_none_is_refused(
    shop: Shop, change: dict[str, Any], pointer: str
) -> None:
    answer = await place(shop, shop.caller(), ADDRESS | change)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/shippingAddress{pointer}"]


def test_there_are_as_many_countries_as_the_standard_assigns() -> None:
    assert len(COUNTRIES) == 249


def test_an_address_shows_nothing_of_itself() -> None:
    body = ShippingAddressBody.model_validate(ADDRESS)

    assert repr(body) == "ShippingAddressBody()"
    assert repr(body.address()) == "Address()"
