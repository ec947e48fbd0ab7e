"""Customers who are offered less than they ordered: each takes it, or leaves it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from demo.plan import Plan, accepts
from demo.replay import Replay
from demo.shop import ACCEPTED
from demo.stage import DemoError, Suite
from demo.stocking import headers_as

_LOOK_EVERY = 0.5
"""Seconds; the offers of many customers are found at one look."""


@dataclass
class Deciding:
    """Looks, as staff does, for orders that wait, and has their customers answer."""

    suite: Suite
    replay: Replay
    accounts: Mapping[str, str]
    """Invoice number → whose it is."""

    @classmethod
    def of(cls, suite: Suite, replay: Replay, made: Plan) -> "Deciding":
        """Know whose order is whose."""
        return cls(suite, replay, {order.number: order.account for order in made.orders})

    async def run(self) -> None:
        """Answer offers until it is cancelled; a look that fails is made again."""
        while True:
            with suppress(DemoError):
                await self._look()
            await asyncio.sleep(_LOOK_EVERY)

    async def _look(self) -> None:
        page = await self.replay.shop.get(
            "/orders?status=ACTION_REQUIRED&limit=100", headers_as("staff", self.suite)
        )
        waiting = {UUID(order["orderId"]) for order in page["data"]}
        for number, order_id in self._ours(waiting):
            await self._decide(number, order_id)

    def _ours(self, waiting: set[UUID]) -> list[tuple[str, UUID]]:
        """Pick this run's orders; an earlier one's on the same stack expire by themselves."""
        placed = self.replay.outcome.placed if waiting else {}
        return [(number, order_id) for number, order_id in placed.items() if order_id in waiting]

    async def _decide(self, number: str, order_id: UUID) -> None:
        customer = self.replay.customers[self.accounts[number]]
        choice = "accept_partial" if accepts(number) else "cancel"
        key = f"{self.replay.run}-decision-{number}"
        answer = await self.replay.shop.decide(customer, key, order_id, choice)
        self.replay.outcome.decided[choice if answer.status == ACCEPTED else answer.code] += 1
