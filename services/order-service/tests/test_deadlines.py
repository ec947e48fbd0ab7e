from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio
from order_service import deadlines
from order_service.domain import Health, Patience, Status
from order_service.handlers import progress
from order_service.messages import (
    Money,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentVoided,
    StockCommitted,
    StockReleased,
    StockReserved,
)

from tests.support.orders import OrderDesk, open_desk, partly
from tests.support.postgres import Databases
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

SOON = timedelta(milliseconds=50)
HOUR = timedelta(hours=1)
ANA = UUID("0198f3a0-0001-7000-8000-000000000001")
QUICK = Patience(answer=SOON, compensation=SOON * 30)
"""An answer is asked for after 1, 3, 7 and 15 units, and given up after 30."""


@pytest_asyncio.fixture
async def desk(databases: Databases) -> AsyncIterator[OrderDesk]:
    async with open_desk(databases) as desk:
        yield desk


@asynccontextmanager
async def running(*desks: OrderDesk) -> AsyncIterator[None]:
    """Run the timers of so many instances."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for desk in desks:
            for loop in deadlines.loops(desk.database, desk.patience, poll=SOON):
                tasks.create_task(loop.run(stop))
        yield
        stop.set()


def reaches(desk: OrderDesk, order_id: UUID, saga: Health) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return (await desk.order(order_id)).saga is saga

    return reached


@pytest.mark.parametrize(
    ("is_short", "reason"),
    [(False, "deadline_passed"), (True, "decision_expired")],
    ids=["pending", "waiting for the customer"],
)
async def test_an_order_that_is_not_confirmed_in_time_expires_once(
    desk: OrderDesk, *, is_short: bool, reason: str
) -> None:
    order_id, in_time = await desk.place_many(2)
    if is_short:
        await desk.hear(partly(order_id))
    await desk.move(order_id, "deadline_at", -HOUR)

    async with running(desk, desk, desk):
        await eventually(reaches(desk, order_id, Health.COMPENSATING))

    order = await desk.order(order_id)
    assert (order.status, order.reason, order.closed_by) == (Status.EXPIRED, reason, "system")
    assert await desk.said(order_id) == ["OrderPlaced", "OrderExpired"]
    assert (await desk.order(in_time)).status is Status.PENDING


async def test_an_order_that_was_confirmed_in_time_never_expires(desk: OrderDesk) -> None:
    order_id, late = await desk.place_many(2)
    await desk.hear(PaymentAuthorized(order_id=order_id))
    for each in (order_id, late):
        await desk.move(each, "deadline_at", -HOUR)

    async with running(desk):
        await eventually(reaches(desk, late, Health.COMPENSATING))

    assert (await desk.order(order_id)).status is Status.CONFIRMED


async def test_an_overdue_answer_is_asked_for_under_new_ids_and_then_given_up(
    desk: OrderDesk,
) -> None:
    desk.patience = QUICK
    order_id = await desk.place()
    await desk.cancel(order_id)

    async with running(desk):
        await eventually(reaches(desk, order_id, Health.STUCK))

    closings = await desk.rows(
        "SELECT event_id, payload FROM outbox WHERE type = 'OrderCancelRequested'"
    )
    assert len(closings) >= 3
    assert len({row["event_id"] for row in closings}) == len(closings)
    assert len({row["payload"] for row in closings}) == 1
    order = await desk.order(order_id)
    assert (order.stuck_reason, order.closing_due_at) == ("closing_unanswered", None)
    assert (await desk.history(order_id))[-1] == "SagaStuck"


async def test_a_stuck_order_ends_when_the_answers_come_after_all(desk: OrderDesk) -> None:
    desk.patience = QUICK
    order_id = await desk.place()
    await desk.cancel(order_id)
    async with running(desk):
        await eventually(reaches(desk, order_id, Health.STUCK))

    await desk.hear(
        StockReleased(order_id=order_id, closing=True),
        PaymentVoided(order_id=order_id, closing=True),
    )

    order = await desk.order(order_id)
    assert (order.status, order.saga) == (Status.CANCELLED, Health.COMPENSATED)
    assert order.stuck_reason is None


async def test_an_answered_closing_is_not_said_again(desk: OrderDesk) -> None:
    order_id, unanswered = await desk.place_many(2)
    for each in (order_id, unanswered):
        await desk.cancel(each)
    await desk.hear(
        StockReleased(order_id=order_id, closing=True),
        PaymentVoided(order_id=order_id, closing=True),
    )
    for each in (order_id, unanswered):
        await desk.move(each, "closing_due_at", -HOUR)

    async def said_again() -> bool:
        return len(await desk.said(unanswered)) == 3

    async with running(desk):
        await eventually(said_again)

    assert await desk.said(order_id) == ["OrderPlaced", "OrderCancelRequested", "OrderCancelled"]


async def test_a_confirmed_order_that_hangs_is_stuck_and_nothing_is_said_again(
    desk: OrderDesk,
) -> None:
    order_id = await desk.place()
    await desk.hear(StockReserved(order_id=order_id), PaymentAuthorized(order_id=order_id))
    await desk.move(order_id, "stuck_at", -HOUR)

    async with running(desk):
        await eventually(reaches(desk, order_id, Health.STUCK))
        stuck = await desk.order(order_id)
        await eventually(lambda: progress.STUCK._value.get() == 1)
    await desk.hear(StockCommitted(order_id=order_id))
    moving = await desk.order(order_id)
    await desk.hear(PaymentCaptured(order_id=order_id, amount=Money(amount=849, currency="GBP")))

    assert (stuck.stuck_reason, stuck.stuck_at) == ("completion_overdue", None)
    assert moving.saga is Health.RUNNING
    assert moving.stuck_at is not None
    assert (await desk.order(order_id)).status is Status.COMPLETED
    assert await desk.said(order_id) == ["OrderPlaced", "OrderConfirmed", "OrderCompleted"]


async def test_a_backlog_of_due_orders_is_shared_by_instances(desk: OrderDesk) -> None:
    ids = await desk.place_many(deadlines.BATCH + 50)
    async with desk.database.transaction() as tx:
        await tx.execute("UPDATE orders SET deadline_at = now() - interval '1 hour'")

    async def none_left() -> bool:
        return not await desk.rows("SELECT FROM orders WHERE status = 'PENDING'")

    async with running(desk, desk):
        await eventually(none_left)

    expired = await desk.rows("SELECT FROM outbox WHERE type = 'OrderExpired'")
    assert len(expired) == len(ids)


async def test_old_keys_and_tokens_that_are_over_are_forgotten_and_no_others(
    desk: OrderDesk,
) -> None:
    async with desk.database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO idempotency_keys
                   (principal, route, key, fingerprint, status, body, created_at)
            SELECT gen_random_uuid(), 'POST /orders', age, '', 202, '', now() - age::interval
              FROM unnest(ARRAY['25 hours', '23 hours']) AS age
            """
        )
        await tx.execute(
            """
            INSERT INTO customers
                   (customer_id, email, language, password_hash, roles, version, created_at)
            VALUES ($1, 'ana@example.org', 'en', '-', ARRAY['customer'], 1, now())
            """,
            ANA,
        )
        await tx.execute(
            """
            INSERT INTO refresh_tokens (token_hash, family, customer_id, issued_at, expires_at)
            SELECT span::bytea, gen_random_uuid(), $1, now(), now() + span::interval
              FROM unnest(ARRAY['-1 second', '1 hour']) AS span
            """,
            ANA,
        )

    async with running(desk):
        await eventually(lambda: _is_left(desk))


async def _is_left(desk: OrderDesk) -> bool:
    keys = await desk.rows("SELECT key FROM idempotency_keys")
    tokens = await desk.rows("SELECT token_hash FROM refresh_tokens")
    assert "23 hours" in [row["key"] for row in keys]
    assert b"1 hour" in [row["token_hash"] for row in tokens]
    return len(keys) == len(tokens) == 1
