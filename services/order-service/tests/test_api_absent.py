"""Somebody else's order and none at all: the same questions to the database, so the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from common.database import Transaction

from tests.support.shop import Shop

pytestmark = pytest.mark.postgres

ROUTES = [
    ("GET", "", None),
    ("GET", "/status", None),
    ("GET", "/timeline", None),
    ("GET", "/refunds", None),
    ("POST", "/cancel", {}),
]


@pytest.mark.parametrize(("method", "route", "body"), ROUTES, ids=[r or "/" for _, r, _ in ROUTES])
async def test_another_customers_order_is_asked_for_like_an_absent_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, method: str, route: str, body: object
) -> None:
    await shop.sell(("TEA", 250))
    theirs = (await shop.place(shop.caller(), ("TEA", 1))).json()["orderId"]
    stranger = shop.caller()
    asked: list[list[str]] = []

    for order_id in (theirs, uuid4()):
        with statements(monkeypatch) as said:
            answer = await shop.http.request(
                method, f"/orders/{order_id}{route}", json=body, headers=stranger.headers()
            )
        assert answer.status_code == 404
        asked.append(said)

    assert asked[0]
    assert asked[0] == asked[1]


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note every statement that is sent meanwhile."""
    said: list[str] = []

    def noting(run: Any) -> Any:
        async def noted(self: Transaction, sql: str, *args: object) -> Any:
            said.append(sql)
            return await run(self, sql, *args)

        return noted

    with monkeypatch.context() as patch:
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            patch.setattr(Transaction, name, noting(getattr(Transaction, name)))
        yield said
