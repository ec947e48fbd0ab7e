"""A shop to test: order-service's application in this process, with somebody to call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
from common.auth import Principal, TokenIssuer
from common.database import Database
from common.message import uuid7
from fastapi import FastAPI

API = "/api/v1"


@dataclass(frozen=True)
class Caller:
    """Somebody with an access token."""

    id: UUID
    token: str

    def headers(self, key: str | None = None) -> dict[str, str]:
        """Make the headers of a request, with a new idempotency key unless told which."""
        return {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key or str(uuid4())}


@dataclass(frozen=True)
class Shop:
    """The application, its database and a client that talks to it."""

    app: FastAPI
    database: Database
    issuer: TokenIssuer
    http: httpx2.AsyncClient

    def caller(self, *roles: str) -> Caller:
        """Make somebody new; a customer unless told what else."""
        principal = Principal(uuid7(), frozenset(roles or {"customer"}))
        return Caller(principal.id, self.issuer.issue(principal))

    async def sell(self, *products: tuple[str, int], currency: str = "GBP") -> None:
        """Put products with their prices into our copy of the catalogue."""
        async with self.database.transaction() as tx:
            await tx.execute(
                """
                INSERT INTO products (sku, name, price, currency, active, available, version)
                SELECT sku, 'Product ' || sku, price, $3, true, 'SOME', 1
                  FROM unnest($1::text[], $2::bigint[]) AS p (sku, price)
                """,
                [sku for sku, _ in products],
                [price for _, price in products],
                currency,
            )

    async def place(
        self, caller: Caller, *items: tuple[str, int], key: str | None = None
    ) -> httpx2.Response:
        """Place an order over HTTP."""
        body = {"items": [{"sku": sku, "quantity": quantity} for sku, quantity in items]}
        return await self.http.post("/orders", json=body, headers=caller.headers(key))

    async def rows(self, sql: str, *args: object) -> Sequence[Any]:
        """Look into the database."""
        async with self.database.transaction() as tx:
            return await tx.fetch(sql, *args)
