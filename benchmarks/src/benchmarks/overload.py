"""P11: twice what the suite can complete is offered; what it takes it completes as fast as ever."""

import time
from collections import Counter

import aiohttp
from typing_extensions import override

from benchmarks.driver import Driver, Load, LoadError, Request
from benchmarks.figures import Aim, Row, Values, percentile
from benchmarks.observer import Observer, observe
from benchmarks.rig import Rig

MS = 1000
TIMES = 2.0
"""Offered orders for each that can be completed."""
CLIENT_PATIENCE = 10.0
"""Seconds after which a client gives up; twice what the intake lets an order wait."""
LIMIT = 120.0
"""Seconds for all of it: by then the backlog is gone, or the suite did not get over the load."""
SHEDDING = {429, 503}

GOODPUT = "goodput : P2"
OTHERWISE = "answers but 202, or 429 and 503 with Retry-After"
UNANSWERED = "requests without an answer"
ACCEPTED_P99 = "POST → 202 p99 ms"

ROW = Row(
    "P11",
    f"open loop, {TIMES:g} times P2",
    {
        GOODPUT: Aim(0.9, at_least=True),
        OTHERWISE: Aim(0),
        UNANSWERED: Aim(0),
        ACCEPTED_P99: Aim(5000),
    },
)

UNLIMITED = {
    "RATE_LIMIT_ADDRESS": "1000000/1s",
    "RATE_LIMIT_PRINCIPAL": "1000000/1s",
    "OPEN_ORDERS_MAX": "1000000",
    "OPEN_PIECES_MAX": "1000000000",
}
"""Settings of the services: few customers play many, so that only the suite's own limits shed."""


class Crowd(Driver):
    """Customers who do not wait for each other, and note what they are told."""

    def __init__(self, rig: Rig) -> None:
        """Open as many connections as it takes."""
        super().__init__(rig, connections=0, patience=CLIENT_PATIENCE)
        self.shed: list[float] = []
        """Seconds from the intended send to each refusal that says when to come back."""
        self.otherwise: Counter[str] = Counter()
        self.unanswered = 0

    @override
    async def place(self, request: Request, meant: float, load: Load) -> None:
        try:
            await super().place(request, meant, load)
        except (aiohttp.ClientError, TimeoutError):
            self.unanswered += 1

    @override
    def refused(self, answer: aiohttp.ClientResponse, code: str, meant: float) -> None:
        if answer.status in SHEDDING and answer.headers.get("Retry-After", "").isdigit():
            self.shed.append(time.perf_counter() - meant)
        else:
            self.otherwise[f"{answer.status} {code}"] += 1


async def measure(rig: Rig, orders: int, seconds: float) -> Values:
    """Find out what the suite completes, then offer twice as much for so long."""
    async with observe(rig.stack.bootstrap) as observer:
        async with Driver(rig) as driver:
            capacity = await _completed(observer, await driver.burst(orders))
        async with Crowd(rig) as crowd:
            load = await crowd.at_rate(TIMES * capacity, seconds)
        if not load.meant:
            message = f"not one of {orders} orders was accepted: {dict(crowd.otherwise)}"
            raise LoadError(message)
        goodput = await _completed(observer, load)
    accepted, shed = load.to_accepted(), crowd.shed or [0.0]
    return {
        GOODPUT: goodput / capacity,
        OTHERWISE: crowd.otherwise.total(),
        UNANSWERED: crowd.unanswered,
        "P2 completed orders/s": capacity,
        "goodput completed orders/s": goodput,
        "offered orders/s": TIMES * capacity,
        "accepted orders": len(accepted),
        "shed orders": len(crowd.shed),
        "POST → 202 p50 ms": percentile(accepted, 50) * MS,
        ACCEPTED_P99: percentile(accepted, 99) * MS,
        "POST → 429 or 503 p99 ms": percentile(shed, 99) * MS,
    }


async def _completed(observer: Observer, load: Load) -> float:
    """Return the orders a second, from the first sent to the last completed."""
    last = await observer.wait("OrderCompleted", load.meant, seconds=LIMIT)
    return len(load.meant) / (last - load.began)
