"""Fills the shop as its admin does: products through inventory's API, then seen by orders."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import asyncpg
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from pydantic import SecretStr

from demo.plan import Stocked
from demo.shop import CONFLICT, CREATED, Shop
from demo.stage import DemoError, Suite

CHUNK = 1000
"""The most products that one request may add."""
CURRENCY = "GBP"
LOW_STOCK = 10
VISIBLE_WITHIN = 60.0
"""Seconds for the catalogue to travel from inventory to orders; it takes one or two."""


def admin_headers(suite: Suite) -> Mapping[str, str]:
    """Sign a token for an admin with the stack's own key: nobody can register as one."""
    key = SecretStr(suite.signing_key.read_text())
    issuer = TokenIssuer(JwtIssuerSettings(jwt_private_key=key))
    token = issuer.issue(Principal(uuid7(), frozenset({"admin"})))
    return {"Authorization": f"Bearer {token}"}


async def stock_shop(
    suite: Suite, catalogue: Sequence[Stocked], progress: Callable[[int], None]
) -> None:
    """Add what is new, top up what an earlier run left, and wait until orders knows it all."""
    headers = admin_headers(suite)
    async with Shop(suite.inventory_url, connections=8) as inventory:
        for begin in range(0, len(catalogue), CHUNK):
            await _add(inventory, headers, catalogue[begin : begin + CHUNK])
    await _wait_until_visible(suite, [each.product.sku for each in catalogue], progress)


async def _add(inventory: Shop, headers: Mapping[str, str], products: Sequence[Stocked]) -> None:
    """Add all in one request; if some are known already, each on its own."""
    answer = await inventory.post(
        "/products/bulk", {"products": [_new(each) for each in products]}, headers
    )
    if answer.status == CONFLICT:
        await asyncio.gather(*(_add_or_top_up(inventory, headers, each) for each in products))
    elif answer.status != CREATED:
        message = f"inventory refused the catalogue: {answer.code}"
        raise DemoError(message)


async def _add_or_top_up(inventory: Shop, headers: Mapping[str, str], each: Stocked) -> None:
    answer = await inventory.post("/products", _new(each), headers)
    if answer.status == CONFLICT and each.stock:
        adjustment = {"sku": each.product.sku, "quantity": each.stock, "reason": "demo run"}
        answer = await inventory.post("/inventory/adjustments", adjustment, headers)
    if answer.status not in {CREATED, CONFLICT}:
        message = f"inventory refused {each.product.sku}: {answer.code}"
        raise DemoError(message)


def _new(each: Stocked) -> dict[str, Any]:
    product = each.product
    return {
        "sku": product.sku,
        "name": product.name or product.sku,
        "price": {"amount": product.pence, "currency": CURRENCY},
        "stock": each.stock,
        "lowStock": LOW_STOCK,
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
