"""Replays a plan: orders and cancellations by their customers, refunds by staff, in their order."""

import asyncio
import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from demo.plan import Cancel, Order, Plan, Refund
from demo.shop import ACCEPTED, Customer, Shop

IN_FLIGHT = 64
"""Requests at once: enough to keep the intake's batches full, as a busy shop would."""
RETURNING = 8
"""Orders of which something comes back at once: staff takes parcels in one after the other."""
ENTERING = 8
"""Registrations at once: each costs a password hash, and more would only queue."""


@dataclass(slots=True)
class Outcome:
    """What the customers saw."""

    placed: dict[str, UUID] = field(default_factory=dict)
    """Invoice number → order."""
    seconds: list[float] = field(default_factory=list)
    """How long each POST took until its 202."""
    refused: Counter[str] = field(default_factory=Counter)
    cancelled: Counter[str] = field(default_factory=Counter)
    """Answers to cancellations."""
    refunded: Counter[str] = field(default_factory=Counter)
    """Answers to refunds."""
    decided: Counter[str] = field(default_factory=Counter)
    """Choices of those who were offered less than they had ordered."""
    took: float = 0.0


async def let_in(
    shop: Shop, accounts: Iterable[str], progress: Callable[[], None]
) -> dict[str, Customer]:
    """Register everybody and log them in."""
    free = asyncio.Semaphore(ENTERING)

    async def enter(account: str) -> tuple[str, Customer]:
        async with free:
            customer = await shop.enter(account)
        progress()
        return account, customer

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(enter(account)) for account in accounts]
    return dict(task.result() for task in tasks)


@dataclass
class Replay:
    """One run: its customers, its log, and what came of it."""

    shop: Shop
    customers: Mapping[str, Customer]
    run: str
    client_log: Path
    progress: Callable[[], None]
    outcome: Outcome = field(default_factory=Outcome)
    _over: dict[str, asyncio.Event] = field(default_factory=dict)
    """Order → set once it is answered: a cancellation waits for the order that it undoes."""

    async def play(self, plan: Plan, *, rate: float) -> Outcome:
        """Send each step in turn, so many at once; with a rate, no earlier than its time."""
        free = asyncio.Semaphore(IN_FLIGHT)
        began = time.monotonic()
        with self.client_log.open("w") as log:
            async with asyncio.TaskGroup() as group:
                for number, step in enumerate(plan.steps):
                    if rate:
                        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                    await free.acquire()
                    task = group.create_task(self._step(step, log.write))
                    task.add_done_callback(lambda _: free.release())
        self.outcome.took = time.monotonic() - began
        return self.outcome

    async def _step(self, step: Order | Cancel, write: Callable[[str], object]) -> None:
        if isinstance(step, Order):
            await self._place(step, write)
        else:
            await self._cancel(step)
        self.progress()

    async def _place(self, order: Order, write: Callable[[str], object]) -> None:
        over = self._over.setdefault(order.number, asyncio.Event())
        customer, key = self.customers[order.account], f"{self.run}-{order.number}"
        try:
            body, answer = await self.shop.place(customer, key, order.items, order.payment_method)
        finally:
            over.set()
        if answer.status != ACCEPTED:
            self.outcome.refused[answer.code] += 1
            return
        self.outcome.placed[order.number] = UUID(answer.body["orderId"])
        self.outcome.seconds.append(answer.seconds)
        sent = json.dumps(body, sort_keys=True).encode()
        write(log_line(customer, key, sent, answer.body["orderId"]))

    async def _cancel(self, cancel: Cancel) -> None:
        await self._over.setdefault(cancel.order, asyncio.Event()).wait()
        order_id = self.outcome.placed.get(cancel.order)
        if order_id is None:
            self.outcome.cancelled["never placed"] += 1
            return
        key = f"{self.run}-{cancel.number}"
        answer = await self.shop.cancel(self.customers[cancel.account], key, order_id)
        self.outcome.cancelled["accepted" if answer.status == ACCEPTED else answer.code] += 1

    async def give_back(self, refunds: Iterable[Refund], staff: Mapping[str, str]) -> None:
        """Refund what came back, each once its order is settled; one order's in their order."""
        by_order: defaultdict[str, list[Refund]] = defaultdict(list)
        for refund in refunds:
            by_order[refund.order].append(refund)
        free = asyncio.Semaphore(RETURNING)

        async def in_turn(of_order: Iterable[Refund]) -> None:
            async with free:
                for refund in of_order:
                    await self._refund(refund, staff)

        async with asyncio.TaskGroup() as group:
            for of_order in by_order.values():
                group.create_task(in_turn(of_order))

    async def _refund(self, refund: Refund, staff: Mapping[str, str]) -> None:
        order_id = self.outcome.placed.get(refund.order)
        if order_id is None:
            self.outcome.refunded["never placed"] += 1
        else:
            await self.shop.settled(staff, order_id)
            key = f"{self.run}-{refund.number}"
            answer = await self.shop.refund(staff, key, order_id, dict(refund.pieces))
            what = "accepted" if answer.status == ACCEPTED else answer.code
            self.outcome.refunded[what] += 1
        self.progress()


def log_line(customer: Customer, key: str, body: bytes, order_id: str) -> str:
    """Write down a 202 as the invariant checker reads it."""
    entry = {
        "order_id": order_id,
        "principal": str(customer.id),
        "key": key,
        "body_sha": hashlib.sha256(body).hexdigest(),
    }
    return json.dumps(entry) + "\n"
