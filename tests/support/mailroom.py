"""Notification-service's application in this process, with somebody of each role to call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from common.auth import Principal, TokenIssuer
from common.database import Database
from common.message import StateRecord, uuid7
from notification_service.domain.notices import Notice, Order
from notification_service.messages import CustomerChanged, Kind, Money, OrderLine
from notification_service.store import customers, letters, notices

POUNDS = Money(amount=1530, currency="GBP")
LINES = (OrderLine(sku="85123A", quantity=6, unit_price=Money(amount=255, currency="GBP")),)


@dataclass(frozen=True)
class Mailroom:
    """The application, its database and a client that talks to it."""

    database: Database
    http: httpx2.AsyncClient
    issuer: TokenIssuer

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        role: str | None = "staff",
        caller: UUID | None = None,
    ) -> httpx2.Response:
        """Send a request as somebody of that role."""
        headers = {}
        if role is not None:
            token = self.issuer.issue(Principal(caller or uuid7(), frozenset({role})))
            headers["Authorization"] = f"Bearer {token}"
        sent: dict[str, Any] = {} if body is None else {"json": body}
        return await self.http.request(method, path, headers=headers, **sent)

    async def know(self, email: str = "ada@example.com", customer_id: UUID | None = None) -> UUID:
        """Hear of a customer."""
        customer_id = customer_id or uuid7()
        event = CustomerChanged(customer_id=customer_id, name="Ada", email=email, language="en")
        async with self.database.transaction() as tx:
            await customers.save_customers(tx, [StateRecord(str(customer_id), 1, event, uuid7())])
        return customer_id

    async def erase(self, customer_id: UUID) -> None:
        """Hear that a customer is no more."""
        async with self.database.transaction() as tx:
            await customers.save_customers(tx, [StateRecord(str(customer_id), 2, None, uuid7())])

    async def owe(self, customer_id: UUID, *kinds: Kind) -> UUID:
        """Hear of an order, of which the customer is to be told so much."""
        order_id = uuid7()
        async with self.database.transaction() as tx:
            await notices.add_orders(tx, [Order(order_id, customer_id, LINES, POUNDS)])
            owed = [Notice(order_id, kind) for kind in kinds or ("confirmed",)]
            await notices.add_notices(tx, owed)
        return order_id

    async def settle(self, order_id: UUID, status: str = "SENT") -> None:
        """Have an order's notices behind us."""
        await self.run(
            "UPDATE notifications SET status = $1, settled_at = now(), attempt = 3,"
            " lease_token = NULL WHERE order_id = $2",
            status,
            order_id,
        )

    async def suppress(self, digest: bytes) -> None:
        """Have an address on the list."""
        async with self.database.transaction() as tx:
            await letters.add_suppressions(tx, {digest: "smtp_550"})

    async def run(self, sql: str, *arguments: object) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(sql, *arguments)

    async def rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        async with self.database.transaction() as tx:
            return [tuple(row) for row in await tx.fetch(sql, *arguments)]
