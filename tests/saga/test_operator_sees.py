"""What an operator sees of an order, through the command line and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from pedido import topics
from pedido.where import Where

if TYPE_CHECKING:
    from devstack.deployment import Deployment

    from tests.saga.conftest import Town

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]


async def test_an_orders_events_are_shown_in_time_order_over_all_topics(
    town: Town, services: Deployment
) -> None:
    order, other = await town.order(2), await town.order(1)
    for each in (order, other):
        await town.settled(each)

    shown = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pedido", "--output", "json", "events", "show", str(order)),
        env={**os.environ, **services.env("order")},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await shown.communicate()

    events = json.loads(printed)
    types = [event["type"] for event in events]
    assert {event["order"] for event in events} == {str(order)}
    assert types[:4] == ["OrderPlaced", "StockReserved", "PaymentAuthorized", "OrderConfirmed"]
    assert "payment_method" not in events[0]["value"]
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)


async def test_offsets_are_set_only_for_a_group_without_members(
    town: Town, services: Deployment
) -> None:
    await town.settled(await town.order())
    env = services.env("payment")
    where, group = Where(env), env["TOPIC_PREFIX"] + "payment-service"
    consuming = await topics.group_state(where, group)
    await services.stop("payment")

    await topics.set_offsets(where, group, {("orders.v1", 0): 0})

    assert consuming == "Stable"
    assert await topics.group_state(where, group) in {"Empty", "Dead"}
    async with topics.consumer(where, group) as client:
        part = topics.TopicPartition(where.prefix + "orders.v1", 0)
        assert await client.committed(part) == 0
