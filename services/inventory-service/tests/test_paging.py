"""A list of a thousand lines is read whole, while others write."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from common.message import uuid7

from tests.support.desk import Desk

pytestmark = pytest.mark.postgres

MANY = 1000


def product(sku: str) -> dict[str, Any]:
    price = {"amount": 255, "currency": "GBP"}
    return {"sku": sku, "name": f"Thing {sku}", "price": price, "stock": 9}


async def fill(desk: Desk) -> list[str]:
    skus = [f"p-{number:04}" for number in range(MANY)]
    body = {"products": [product(sku) for sku in skus]}
    answer = await desk.ask("POST", "/products/bulk", json=body)
    assert answer.status_code == 201, answer.text
    return skus


async def read(desk: Desk, path: str, between: Callable[[int], Awaitable[None]]) -> list[Any]:
    """Read all pages by their links, with something done between two of them."""
    entries: list[Any] = []
    pages = 0
    following: str | None = path
    while following is not None:
        answer = await desk.ask("GET", following)
        assert answer.status_code == 200, answer.text
        entries += answer.json()["data"]
        link = answer.headers.get("Link")
        following = link.split(">")[0].removeprefix("</api/v1") if link else None
        await between(pages)
        pages += 1
    return entries


@pytest.mark.parametrize("query", ["", "q=thing&", "availability=SOME&"])
async def test_the_catalogue_shows_once_what_stays_while_others_come_and_go(
    desk: Desk, query: str
) -> None:
    skus = await fill(desk)
    removed = {skus[30], skus[777]}

    async def trade(page: int) -> None:
        await asyncio.gather(
            desk.ask("POST", "/products", json=product(f"a-{page}")),
            desk.ask("POST", "/products", json=product(f"p-{page:04}-new")),
            desk.ask("PATCH", f"/products/{skus[page]}", json={"name": f"Other thing {page}"}),
            *([desk.ask("DELETE", f"/products/{sku}") for sku in removed] if page == 3 else []),
        )

    listed = await read(desk, f"/products?{query}limit=50", trade)

    seen = Counter(each["sku"] for each in listed)
    assert max(seen.values()) == 1
    assert set(skus) - removed <= set(seen)
    assert skus[777] not in seen
    assert [each["sku"] for each in listed] == sorted(seen)


async def test_the_ledger_shows_once_what_was_there_when_the_reading_began(desk: Desk) -> None:
    await fill(desk)

    async def trade(page: int) -> None:
        body = {"sku": f"p-{page:04}", "quantity": 1, "reason": "delivery"}
        await asyncio.gather(
            *(desk.ask("POST", "/inventory/adjustments", json=body) for _ in range(3))
        )

    listed = await read(desk, "/inventory/movements?limit=100", trade)

    ids = [each["id"] for each in listed]
    assert len(ids) == MANY
    assert ids == sorted(set(ids), reverse=True)


async def test_reservations_are_shown_once_while_new_ones_come(desk: Desk) -> None:
    async def reserve(count: int) -> list[str]:
        order_ids = [uuid7() for _ in range(count)]
        async with desk.service.database.transaction() as tx:
            await tx.execute(
                """
                INSERT INTO reservations (order_id, state)
                SELECT unnest($1::uuid[]), 'REJECTED'
                """,
                order_ids,
            )
        return [str(each) for each in order_ids]

    async def trade(_page: int) -> None:
        await reserve(5)

    expected = await reserve(MANY)

    listed = await read(desk, "/inventory/reservations?limit=100", trade)

    assert [each["orderId"] for each in listed] == expected[::-1]
