"""Deliveries as rows: whose turn it is, and what an attempt leaves behind."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from common.message import uuid7
from notification_service import handlers
from notification_service.domain.deliveries import Call, Delivery, Untried
from notification_service.domain.happenings import EventType, Happening
from notification_service.store import deliveries

from tests.support.mailroom import Mailroom

pytestmark = pytest.mark.postgres

SCHEDULE = (timedelta(hours=1),) * 3


async def add_endpoint(mailroom: Mailroom) -> UUID:
    answer = await mailroom.ask("POST", "/webhooks/endpoints", {"url": "https://shop.example.com/"})
    return UUID(answer.json()["endpointId"])


async def happen(mailroom: Mailroom, *types: EventType) -> UUID:
    """Owe what happened to an order to every endpoint."""
    order_id, now = uuid7(), datetime.now(UTC) + timedelta(seconds=1)
    async with mailroom.database.transaction() as tx:
        happened = [Happening(order_id, each, now, {}) for each in types]
        await deliveries.add_deliveries(tx, happened)
    return order_id


async def lease(mailroom: Mailroom) -> list[Delivery]:
    async with mailroom.database.transaction() as tx:
        return await deliveries.lease_deliveries(tx, 10, uuid7(), timedelta(minutes=1))


async def settle(mailroom: Mailroom, calls: Sequence[tuple[Delivery, Call]]) -> None:
    await handlers.settle_deliveries(
        mailroom.database, calls, schedule=SCHEDULE, disable_after=timedelta(days=5)
    )


async def test_a_call_that_was_never_made_has_cost_no_attempt(mailroom: Mailroom) -> None:
    await add_endpoint(mailroom)
    await happen(mailroom, "order.placed")
    (first,) = await lease(mailroom)

    await settle(mailroom, [(first, Untried())])

    (again,) = await lease(mailroom)
    assert (first.attempt, again.attempt) == (1, 1)
