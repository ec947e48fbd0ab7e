"""Fills the shop as its admin does: products through inventory's API, then seen by orders."""

import asyncio
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import asyncpg
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from pydantic import SecretStr

from demo.plan import Stocked
from demo.shop import CREATED, Answer, Shop
from demo.stage import DemoError, Suite

CHUNK = 1000
"""The most products that one request may add."""
CONNECTIONS = 8
CURRENCY = "GBP"
LOW_STOCK = 10
VISIBLE_WITHIN = 60.0
"""Seconds for the catalogue to travel from inventory to orders; it takes one or two."""


def headers_as(role: str, suite: Suite) -> Mapping[str, str]:
    """Sign a token for an admin or staff with the stack's own key: nobody can register as one."""
    key = SecretStr(suite.signing_key.read_text())
    issuer = TokenIssuer(JwtIssuerSettings(jwt_private_key=key))
    token = issuer.issue(Principal(uuid7(), frozenset({role})))
    return {"Authorization": f"Bearer {token}"}


async def stock_shop(
    suite: Suite, catalogue: Sequence[Stocked], progress: Callable[[int], None]
) -> None:
    """Add what is new, top up what an earlier run left, and wait until orders knows it all."""
    headers = headers_as("admin", suite)
    async with Shop(suite.inventory_url, connections=CONNECTIONS) as inventory:
        known = await _known_skus(inventory)
        new = [each for each in catalogue if each.product.sku not in known]
        for begin in range(0, len(new), CHUNK):
            body = {"products": [_new(each) for each in new[begin : begin + CHUNK]]}
            _expect_created(await inventory.post("/products/bulk", body, headers))
        await _top_up(inventory, headers, [each for each in catalogue if _is_short(each, known)])
    await _wait_until_visible(suite, [each.product.sku for each in catalogue], progress)


async def _known_skus(inventory: Shop) -> set[str]:
    """Read what an earlier run on the same stack has added."""
    known: set[str] = set()
    cursor = ""
    while True:
        page = await inventory.get(f"/products?limit=100{cursor}")
        known.update(product["sku"] for product in page["data"])
        if page["nextCursor"] is None:
            return known
        cursor = f"&cursor={page['nextCursor']}"


def _is_short(each: Stocked, known: Container[str]) -> bool:
    return each.product.sku in known and each.is_ordered and each.stock > 0


async def _top_up(inventory: Shop, headers: Mapping[str, str], products: Sequence[Stocked]) -> None:
    free = asyncio.Semaphore(CONNECTIONS)

    async def adjust(each: Stocked) -> None:
        body = {"sku": each.product.sku, "quantity": each.stock, "reason": "demo run"}
        async with free:
            _expect_created(await inventory.post("/inventory/adjustments", body, headers))

    await asyncio.gather(*(adjust(each) for each in products))


def _expect_created(answer: Answer) -> None:
    if answer.status != CREATED:
        message = f"inventory refused a part of the catalogue: {answer.code}"
        raise DemoError(message)


def _new(each: Stocked) -> dict[str, Any]:
    product = each.product
    return {
        "sku": product.sku,
        "name": product.name or product.sku,
        "price": {"amount": product.pence, "currency": CURRENCY},
        "stock": each.stock,
        "lowStock": LOW_STOCK,
        "allowPartial": each.allow_partial,
    }


async def _wait_until_visible(
    suite: Suite, skus: Sequence[str], progress: Callable[[int], None]
) -> None:
    db = await asyncpg.connect(suite.sources.database_url)
    try:
        for _ in _until(time.monotonic() + VISIBLE_WITHIN):
            seen = await db.fetchval(
                "SELECT count(*) FROM orders.products WHERE sku = ANY($1::text[])", skus
            )
            progress(seen)
            if seen == len(skus):
                return
            await asyncio.sleep(0.1)
    finally:
        await db.close()
    message = f"orders knows {seen} of {len(skus)} products after {VISIBLE_WITHIN:g} s"
    raise DemoError(message)


def _until(deadline: float) -> Iterator[None]:
    yield
    while time.monotonic() < deadline:
        yield
