"""Places orders as fast as they are accepted, or at a rate, and remembers when each was meant."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Self, TypeAlias
from uuid import uuid4

import aiohttp
from demo.replay import log_line
from demo.shop import ACCEPTED, API, Customer

from benchmarks.rig import SKUS, Rig

CONNECTIONS = 64
LINES = 2
PAYMENT_METHOD = "pm_card_visa"
PATIENCE = 300.0
"""Seconds after which a request without an answer fails."""


Basket: TypeAlias = Callable[[Random], Sequence[str]]
"""Chooses the products of one order."""


def any_products(lines: int = LINES) -> Basket:
    """Choose so many different ones, each as likely as any other."""
    return lambda chosen: chosen.sample(SKUS, lines)


class LoadError(Exception):
    """A request that must be accepted was not: the figure would be one of something else."""


@dataclass(slots=True)
class Load:
    """What was sent and answered; times are this process's `time.perf_counter()`, in seconds."""

    began: float = field(default_factory=time.perf_counter)
    meant: dict[str, float] = field(default_factory=dict)
    """Order → when its request was to leave."""
    answered: dict[str, float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    """Lines of the client's own log, for the invariant checker."""

    def to_accepted(self, *, after: float = 0.0) -> list[float]:
        """Seconds from the intended send to the 202, of orders meant so long after the begin."""
        return self.until(self.answered, after=after)

    def until(self, seen: Mapping[str, float], *, after: float = 0.0) -> list[float]:
        """Seconds from the intended send to when each order was seen."""
        first = self.began + after
        return [seen[order] - meant for order, meant in self.meant.items() if meant >= first]


@dataclass(frozen=True, slots=True)
class Request:
    """An order before it is sent: sent again, it is the same order."""

    customer: Customer
    key: str
    body: bytes


class Driver:
    """A crowd of customers; `async with Driver(rig)`."""

    def __init__(
        self,
        rig: Rig,
        *,
        connections: int = CONNECTIONS,
        patience: float = PATIENCE,
        basket: Basket | None = None,
        url: str | None = None,
    ) -> None:
        """Talk to the rig's order-service, unless to another; 0 connections are no limit."""
        self._rig = rig
        self._basket = basket or any_products()
        self._is_elsewhere = url is not None
        self._http = aiohttp.ClientSession(
            base_url=url or rig.services.url("order"),
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=patience),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self._http.close()

    async def burst(self, orders: int) -> Load:
        """Send in a closed loop: a connection's next order leaves when its last one is answered."""
        requests = self._requests(orders)
        load = Load()

        async def one_connection() -> None:
            for request in requests:
                await self.place(request, time.perf_counter(), load)

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(one_connection())
        self._note(load)
        return load

    async def at_rate(self, rate: float, seconds: float) -> Load:
        """Send in an open loop: an order each 1/rate s, whether the last one is answered or not."""
        load = Load()
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(self._requests(round(rate * seconds))):
                meant = load.began + number / rate
                await asyncio.sleep(max(0.0, meant - time.perf_counter()))
                group.create_task(self.place(request, meant, load))
        self._note(load)
        return load

    def _requests(self, orders: int) -> Iterator[Request]:
        chosen = self._rig.random
        for customer in itertools.islice(itertools.cycle(self._rig.customers), orders):
            items = [{"sku": sku, "quantity": chosen.randint(1, 3)} for sku in self._basket(chosen)]
            body = {"items": items, "paymentMethod": PAYMENT_METHOD}
            yield Request(customer, uuid4().hex, json.dumps(body, sort_keys=True).encode())

    async def place(self, request: Request, meant: float, load: Load) -> None:
        """Send an order and note when it was accepted."""
        headers = {
            "Authorization": f"Bearer {request.customer.access_token}",
            "Idempotency-Key": request.key,
            "Content-Type": "application/json",
        }
        async with self._http.post(f"{API}/orders", data=request.body, headers=headers) as answer:
            content = await answer.json()
        if answer.status != ACCEPTED:
            self.refused(answer, content.get("code"), meant)
            return
        order_id: str = content["orderId"]
        load.meant[order_id], load.answered[order_id] = meant, time.perf_counter()
        load.log.append(log_line(request.customer, request.key, request.body, order_id))

    def refused(self, answer: aiohttp.ClientResponse, code: str, _meant: float) -> None:
        """Give up: who offers no more than can be taken is refused nothing."""
        message = f"POST /orders was answered {answer.status} {code}"
        raise LoadError(message)

    def _note(self, load: Load) -> None:
        if self._is_elsewhere:  # the checker would look for these orders in the rig's database
            return
        with self._rig.client_log.open("a") as log:
            log.writelines(load.log)
