"""Deliveries as rows: whose turn it is, and what an attempt leaves behind."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from common.message import uuid7
from notification_service import handlers
from notification_service.domain.deliveries import (
    Answered,
    Call,
    Delivery,
    Unanswered,
    Untried,
)
from notification_service.domain.happenings import EventType, Happening
from notification_service.sending.forgetting import Janitor
from notification_service.store import deliveries

from tests.support.mailroom import Mailroom

pytestmark = pytest.mark.postgres

SCHEDULE = (timedelta(hours=1),) * 3
TIMEOUT = Unanswered("timeout", timedelta())
DELIVERED = Answered(200, timedelta())


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


async def due(mailroom: Mailroom) -> dict[tuple[UUID, UUID], list[bool]]:
    """Tell of each endpoint and order which of its deliveries are due, in their order."""
    rows = await mailroom.rows(
        """
        SELECT endpoint_id, order_id, array_agg(due_at <= now() ORDER BY seq) FROM deliveries
         WHERE status = 'PENDING' GROUP BY endpoint_id, order_id
        """
    )
    return {(endpoint_id, order_id): due for endpoint_id, order_id, due in rows}


async def test_what_follows_a_delivery_that_is_put_off_is_put_off_with_it(
    mailroom: Mailroom,
) -> None:
    bad, good = await add_endpoint(mailroom), await add_endpoint(mailroom)
    stuck = await happen(mailroom, "order.placed", "order.confirmed", "order.completed")
    leased = {each.endpoint_id: each for each in await lease(mailroom)}
    other = await happen(mailroom, "order.placed", "order.confirmed")

    await settle(mailroom, [(leased[bad], TIMEOUT), (leased[good], DELIVERED)])

    assert await due(mailroom) == {
        (bad, stuck): [False, False, False],
        (bad, other): [True, True],
        (good, stuck): [True, True],
        (good, other): [True, True],
    }
    assert await mailroom.rows(
        "SELECT count(DISTINCT due_at) FROM deliveries WHERE endpoint_id = $1 AND order_id = $2",
        bad,
        stuck,
    ) == [(1,)]


async def test_what_follows_a_delivery_that_staff_sends_again_waits_no_longer(
    mailroom: Mailroom,
) -> None:
    endpoint_id = await add_endpoint(mailroom)
    order_id = await happen(mailroom, "order.placed", "order.confirmed")
    (leased,) = await lease(mailroom)
    await settle(mailroom, [(leased, TIMEOUT)])
    await mailroom.run("UPDATE endpoints SET held_until = NULL")

    await mailroom.ask("POST", f"/webhooks/deliveries/{leased.delivery_id}/redeliver")

    assert await due(mailroom) == {(endpoint_id, order_id): [True, True]}
    (again,) = await lease(mailroom)
    assert again.delivery_id == leased.delivery_id
    await settle(mailroom, [(again, DELIVERED)])
    assert len(await lease(mailroom)) == 1


async def test_what_failed_by_itself_keeps_its_own_time_when_staff_sends_an_earlier_one_again(
    mailroom: Mailroom,
) -> None:
    endpoint_id = await add_endpoint(mailroom)
    order_id = await happen(mailroom, "order.placed", "order.confirmed")
    (first,) = await lease(mailroom)
    await settle(mailroom, [(first, DELIVERED)])
    (second,) = await lease(mailroom)
    await settle(mailroom, [(second, TIMEOUT)])

    await mailroom.ask("POST", f"/webhooks/deliveries/{first.delivery_id}/redeliver")

    assert await due(mailroom) == {(endpoint_id, order_id): [True, False]}


async def test_what_a_removed_endpoint_leaves_is_deleted_bit_by_bit(mailroom: Mailroom) -> None:
    endpoint_id = await add_endpoint(mailroom)
    await happen(mailroom, "order.placed")
    (leased,) = await lease(mailroom)
    await mailroom.run(
        """
        INSERT INTO deliveries (delivery_id, endpoint_id, order_id, type, subject, payload)
        SELECT gen_random_uuid(), $1::uuid, gen_random_uuid(), 'order.placed', '', ''
          FROM generate_series(1, 1500)
        """,
        endpoint_id,
    )

    await mailroom.ask("DELETE", f"/webhooks/endpoints/{endpoint_id}")
    await happen(mailroom, "order.placed")
    await settle(mailroom, [(leased, TIMEOUT)])

    assert await lease(mailroom) == []
    janitor = Janitor(mailroom.database, timedelta(days=46), timedelta(days=46))
    assert [await janitor.sweep() for _ in range(3)] == [1000, 501, 0]
    for table in ("endpoints", "deliveries", "delivery_attempts"):
        assert await mailroom.rows(f"SELECT * FROM {table}") == []  # noqa: S608
