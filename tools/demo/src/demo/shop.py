"""The shop as its customers reach it: the public API, with the patience of a good client."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx2

from demo.stage import DemoError

API = "/api/v1"
TRIES = 8
"""With the waits between them some ten seconds: a restarting service is back by then."""
BUSY = frozenset({429, 503})
CREATED, ACCEPTED, CONFLICT = 201, 202, 409
SETTLING_LOOKS, SETTLING_PAUSE = 120, 1.0
"""Two minutes: by then an order is settled, or the verdict says that it is not."""
RENEW_BEFORE = 60.0
"""Seconds before its end at which an access token is renewed."""


@dataclass(slots=True)
class Customer:
    """Somebody with an account who is logged in."""

    id: UUID
    access_token: str
    refresh_token: str
    renew_at: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request, retries included."""

    status: int
    body: Mapping[str, Any]
    seconds: float

    @property
    def code(self) -> str:
        return str(self.body.get("code", self.status))


class Shop:
    """Speaks to one service over kept connections."""

    def __init__(self, url: str, *, connections: int) -> None:
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx2.AsyncClient(base_url=url + API, limits=limits, timeout=30)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """Post until it is answered: what is not answered or too busy is tried again."""
        began = time.perf_counter()
        for attempt in range(TRIES):
            try:
                answer = await self._http.post(path, json=body, headers=headers)
            except httpx2.TransportError as error:
                if attempt == TRIES - 1:
                    message = f"no answer from {self._http.base_url}: {type(error).__name__}"
                    raise DemoError(message) from error
                await asyncio.sleep(min(0.1 * 2**attempt, 3))
                continue
            if answer.status_code not in BUSY or attempt == TRIES - 1:
                break
            await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
        return Answer(answer.status_code, answer.json(), time.perf_counter() - began)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        try:
            answer = await self._http.get(path, headers=headers)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            url = str(self._http.base_url).rstrip("/") + path
            message = f"{url} can't be read: {error or type(error).__name__}"
            raise DemoError(message) from error
        found: Mapping[str, Any] = answer.json()
        return found

    async def enter(self, account: str) -> Customer:
        """Register, unless an earlier run did, and log in."""
        email, password = f"{account}@example.com", f"{account}-buys-gifts"
        registered = await self.post("/auth/register", {"email": email, "password": password})
        if registered.status not in {CREATED, CONFLICT}:
            message = f"{email} could not be registered: {registered.code}"
            raise DemoError(message)
        session = await self.post("/auth/login", {"email": email, "password": password})
        if "accessToken" not in session.body:
            message = f"{email} could not log in: {session.code}"
            raise DemoError(message)
        me = await self.get("/auth/me", {"Authorization": f"Bearer {session.body['accessToken']}"})
        customer = Customer(UUID(me["customerId"]), "", "", 0)
        _keep(customer, session.body)
        return customer

    async def place(
        self, customer: Customer, key: str, items: tuple[tuple[str, int], ...], payment_method: str
    ) -> tuple[Mapping[str, Any], Answer]:
        """Place an order; answers the body that was sent, too."""
        body = {
            "items": [{"sku": sku, "quantity": quantity} for sku, quantity in items],
            "paymentMethod": payment_method,
        }
        return body, await self.post("/orders", body, await self._headers(customer, key))

    async def cancel(self, customer: Customer, key: str, order_id: UUID) -> Answer:
        headers = await self._headers(customer, key)
        return await self.post(f"/orders/{order_id}/cancel", {}, headers)

    async def decide(self, customer: Customer, key: str, order_id: UUID, choice: str) -> Answer:
        """Take what there is of an order that is short, or leave it."""
        headers = await self._headers(customer, key)
        return await self.post(f"/orders/{order_id}/decision", {"choice": choice}, headers)

    async def refund(
        self, staff: Mapping[str, str], key: str, order_id: UUID, pieces: Mapping[str, int]
    ) -> Answer:
        """Give back what pieces of an order cost, and put them back on the shelf."""
        order = await self.get(f"/orders/{order_id}", staff)
        lines = [
            {"lineNo": line["lineNo"], "quantity": pieces[line["sku"]]}
            for line in order["lines"]
            if line["sku"] in pieces
        ]
        body = {"lines": lines, "restock": True, "reason": "returned"}
        headers = {**staff, "Idempotency-Key": key}
        return await self.post(f"/orders/{order_id}/refunds", body, headers)

    async def settled(self, headers: Mapping[str, str], order_id: UUID) -> None:
        """Wait until an order is over, one way or the other."""
        for _ in range(SETTLING_LOOKS):
            if (await self.get(f"/orders/{order_id}/status", headers))["terminal"]:
                return
            await asyncio.sleep(SETTLING_PAUSE)

    async def _headers(self, customer: Customer, key: str) -> Mapping[str, str]:
        async with customer.lock:
            if time.monotonic() > customer.renew_at:
                session = await self.post("/auth/refresh", {"refreshToken": customer.refresh_token})
                _keep(customer, session.body)
        return {"Authorization": f"Bearer {customer.access_token}", "Idempotency-Key": key}


def _keep(customer: Customer, session: Mapping[str, Any]) -> None:
    customer.access_token = session["accessToken"]
    customer.refresh_token = session["refreshToken"]
    customer.renew_at = time.monotonic() + session["expiresIn"] - RENEW_BEFORE
