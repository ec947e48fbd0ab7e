"""Customers who order and cancel at a steady rate, whatever happens, and never give up early."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import TypeAlias, TypeVar
from uuid import UUID
from zlib import crc32

from demo.plan import Order
from demo.replay import log_line
from demo.shop import ACCEPTED, BUSY, Answer, Customer, Shop
from demo.stage import DemoError

CONNECTIONS = 128
ACCOUNTS = 60
"""A login costs a password hash; these many take some seconds, all of them minutes."""
PATIENCE = 240.0
"""Seconds a customer tries with the same key: longer than any fault and its healing."""
_AGAIN = 0.5
_CATCH_UP = 2.0
"""Seconds of orders that may come at once after this process itself had no turn."""
CANCELLING = 0.1
CANCEL_WITHIN = 8.0
"""Seconds in which a customer has second thoughts: before, during and after the payment."""

METHODS: Mapping[str, int] = {
    "pm_card_visa": 82,
    "pm_declined_insufficient_funds": 3,
    "pm_declined_lost_card": 2,
    "pm_error_5xx": 3,
    "pm_timeout": 2,
    "pm_slow": 3,
    "pm_answer_lost": 3,
    "pm_capture_fails": 2,
}
"""Payment method → how many of a hundred pay by it; see devstack.simulator.scripts."""

T = TypeVar("T")
Log: TypeAlias = Callable[[str], object]


def shoppers(orders: Iterable[Order], seed: int) -> Iterator[Order]:
    """Replay real orders for ever, by fewer customers and with payment methods that misbehave."""
    chance = random.Random(seed)  # noqa: S311  repeats itself on purpose
    kept = list(orders)
    names, weights = list(METHODS), list(METHODS.values())
    for lap in count():
        for order in kept:
            (method,) = chance.choices(names, weights)
            account = f"customer-{crc32(order.account.encode()) % ACCOUNTS}"
            number = f"{order.number}-{lap}"
            yield replace(order, number=number, account=account, payment_method=method)


@dataclass
class Load:
    """Orders at a rate; can be paused, and is at rest when every customer has an answer."""

    shop: Shop
    customers: Mapping[str, Customer]
    orders: Iterator[Order]
    rate: float
    log: Path
    seed: int
    placed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    """Answers that must not be, and orders that never got one."""
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _in_hand: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Order for ever, while it is not paused."""
        chance = random.Random(self.seed)  # noqa: S311  repeats itself on purpose
        due = 0.0
        with self.log.open("a", buffering=1) as log:
            async with asyncio.TaskGroup() as customers:
                while True:
                    await self._open.wait()
                    buying = self._buy(next(self.orders), chance.random(), log.write)
                    task = customers.create_task(buying)
                    self._in_hand.add(task)
                    task.add_done_callback(self._in_hand.discard)
                    due = max(due + 1 / self.rate, time.monotonic() - _CATCH_UP)
                    await asyncio.sleep(due - time.monotonic())

    def resume(self) -> None:
        """Let customers in."""
        self._open.set()

    async def pause(self) -> None:
        """Let nobody in any more, and wait until everybody has an answer."""
        self._open.clear()
        while self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _buy(self, order: Order, draw: float, log: Log) -> None:
        customer = self.customers[order.account]
        placed = await self._patiently(
            order.number,
            lambda: self.shop.place(customer, order.number, order.items, order.payment_method),
        )
        if placed is None:
            return
        body, answer = placed
        if answer.status != ACCEPTED:
            self._refuse("order", order.number, answer)
            return
        self.placed += 1
        sent = json.dumps(body, sort_keys=True).encode()
        log(log_line(customer, order.number, sent, answer.body["orderId"]))
        if draw < CANCELLING:
            await asyncio.sleep(draw / CANCELLING * CANCEL_WITHIN)
            await self._cancel(customer, order.number, UUID(answer.body["orderId"]))

    async def _cancel(self, customer: Customer, number: str, order_id: UUID) -> None:
        key = f"cancel-{number}"
        answer = await self._patiently(key, lambda: self.shop.cancel(customer, key, order_id))
        if answer is not None and answer.status != ACCEPTED:
            self._refuse("cancel", number, answer)

    def _refuse(self, what: str, number: str, answer: Answer) -> None:
        self.refused[f"{what}: {answer.code}"] += 1
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.errors.append(f"{what} {number} was answered {answer.status} {answer.code}")

    async def _patiently(self, number: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Ask with the same key until there is an answer."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                found = await ask()
            except DemoError:
                await asyncio.sleep(_AGAIN)
                continue
            if _status(found) not in BUSY:
                return found
        self.errors.append(f"{number} had no answer within {PATIENCE:g} s")
        return None


def _status(found: object) -> int:
    answer = found[1] if isinstance(found, tuple) else found
    return answer.status if isinstance(answer, Answer) else 0


def accounts() -> Sequence[str]:
    """Name everybody who orders."""
    return [f"customer-{number}" for number in range(ACCOUNTS)]
