"""A client of the payment gateway, and a look into its ledger."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """Where the gateway is, and what it wrote down."""

    url: str
    ledger: Path

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Read the ledger as a checker would: from outside, while the gateway runs."""
        database = sqlite3.connect(self.ledger)
        try:
            return database.execute(query, arguments).fetchall()
        finally:
            database.close()


class Client:
    """Speaks Stripe's wire format: form-encoded, with a key a request unless told which."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def post(
        self, path: str, form: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> httpx2.Response:
        """Change something."""
        return await self.http.post(
            path,
            data={name: str(value) for name, value in (form or {}).items()},
            headers={"Idempotency-Key": key or f"test-{next(_numbers)}"},
        )

    async def get(self, path: str, **query: object) -> dict[str, Any]:
        """Look at something that is there."""
        answer = await self.http.get(path, params={name: str(v) for name, v in query.items()})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def authorise(
        self, payment_method: str = "pm_ok", *, key: str | None = None, amount: int = 1000
    ) -> httpx2.Response:
        """Ask for an authorisation, each time for another order."""
        form = order_form(payment_method, amount)
        return await self.post("/v1/payment_intents", form, key=key)

    async def authorised(self, payment_method: str = "pm_ok", *, amount: int = 1000) -> str:
        """Get an authorisation and return the intent's id."""
        answer = await self.authorise(payment_method, amount=amount)
        assert answer.status_code == 200, answer.text
        identity: str = answer.json()["id"]
        return identity

    async def captured(self, payment_method: str = "pm_ok", *, amount: int = 1000) -> str:
        """Get an authorisation, capture it and return the intent's id."""
        intent = await self.authorised(payment_method, amount=amount)
        answer = await self.post(f"/v1/payment_intents/{intent}/capture")
        assert answer.status_code == 200, answer.text
        return intent


def order_form(payment_method: str = "pm_ok", amount: int = 1000) -> dict[str, object]:
    """Build the form that authorises the payment of an order of its own."""
    return {
        "amount": amount,
        "currency": "gbp",
        "payment_method": payment_method,
        "confirm": "true",
        "capture_method": "manual",
        "error_on_requires_action": "true",
        "metadata[order_id]": f"order-{next(_numbers)}",
    }
