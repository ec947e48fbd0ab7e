from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from common.errors import Refusal
from common.message import uuid7
from order_service import handlers
from order_service.domain import (
    CancelOrder,
    Choice,
    Health,
    Placed,
    PlaceOrder,
    RefundState,
    ReturnedLine,
    Status,
    WantedLine,
)
from order_service.domain.order import UNDER_WAY, UNSETTLED
from order_service.messages import (
    Money,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    StockCommitted,
    StockRejected,
    StockReleased,
    StockReserved,
)
from prometheus_client import REGISTRY

from tests.support.orders import OrderDesk, open_desk, partly
from tests.support.postgres import Databases
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def desk(databases: Databases) -> AsyncIterator[OrderDesk]:
    async with open_desk(databases) as desk:
        yield desk


TOTAL = Money(amount=2 * 255 + 339, currency="GBP")
MUG = Money(amount=255, currency="GBP")


def wanted(*skus: str) -> PlaceOrder:
    return PlaceOrder(uuid7(), uuid7(), tuple(WantedLine(sku, 1) for sku in skus), "pm_ok")


async def test_an_order_is_stored_with_its_lines_and_history_and_announced(
    desk: OrderDesk,
) -> None:
    order_id = await desk.place(("mug", 2), ("pot", 1))

    order = await desk.order(order_id)
    assert (order.status, order.saga, order.total) == (Status.PENDING, Health.RUNNING, 849)
    assert order.deadline_at - order.created_at == timedelta(minutes=15)
    lines = await desk.rows(
        "SELECT line_no, sku, name, quantity, unit_price FROM order_lines ORDER BY line_no"
    )
    assert [tuple(line) for line in lines] == [
        (1, "mug", "Product mug", 2, 255),
        (2, "pot", "Product pot", 1, 339),
    ]
    (event,) = await desk.rows(
        """
        SELECT version, e.type, service, data, e.event_id = o.event_id AS same, causation_id
          FROM order_events e JOIN outbox o ON o.aggregateid = e.order_id::text::bytea
        """
    )
    assert (event["version"], event["type"], event["service"]) == (
        1,
        "OrderPlaced",
        "order-service",
    )
    assert event["same"]
    assert json.loads(event["data"])["payment_method"] == "pm_ok"


async def test_a_refused_order_leaves_nothing_and_its_neighbours_are_stored(
    desk: OrderDesk,
) -> None:
    commands = [wanted("mug"), wanted("mug", "unknown"), wanted("pot")]

    async with desk.database.transaction() as tx:
        outcomes = await handlers.place_orders(tx, commands)

    assert [isinstance(outcome, Placed) for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1], Refusal)
    kept = {commands[0].order_id, commands[2].order_id}
    assert {row["order_id"] for row in await desk.rows("SELECT order_id FROM orders")} == kept
    assert {r["order_id"] for r in await desk.rows("SELECT order_id FROM order_events")} == kept
    assert len(await desk.rows("SELECT FROM outbox")) == 2


async def test_only_refused_orders_are_no_work_at_all(desk: OrderDesk) -> None:
    async with desk.database.transaction() as tx:
        (refusal,) = await handlers.place_orders(tx, [wanted("unknown")])

    assert isinstance(refusal, Refusal)
    assert not await desk.rows("SELECT FROM outbox")


@pytest.mark.parametrize("column", ["active", "removed"])
async def test_a_product_that_is_not_for_sale_can_not_be_ordered(
    desk: OrderDesk, column: str
) -> None:
    change = "active = false" if column == "active" else "removed_at = now()"
    async with desk.database.transaction() as tx:
        await tx.execute(f"UPDATE products SET {change} WHERE sku = 'mug'")  # noqa: S608

        (refusal,) = await handlers.place_orders(tx, [wanted("mug")])

    assert isinstance(refusal, Refusal)
    assert refusal.code == "unknown_product"


async def test_an_owner_cancels_their_own_order(desk: OrderDesk) -> None:
    owner = uuid7()
    order_id = await desk.place(customer=owner)

    async with desk.database.transaction() as tx:
        order = await handlers.cancel_order(tx, CancelOrder(order_id, "customer", owner))

    assert (order.status, order.saga) == (Status.CANCELLING, Health.COMPENSATING)
    assert order == await desk.order(order_id)
    assert await desk.said(order_id) == ["OrderPlaced", "OrderCancelRequested"]
    assert await desk.history(order_id) == ["OrderPlaced", "OrderCancelRequested"]


async def test_somebody_elses_order_is_not_there(desk: OrderDesk) -> None:
    order_id = await desk.place()

    for unknown in (order_id, uuid7()):
        with pytest.raises(Refusal) as refused:
            async with desk.database.transaction() as tx:
                await handlers.cancel_order(tx, CancelOrder(unknown, "customer", uuid7()))
        assert (refused.value.code, refused.value.status) == ("not_found", 404)

    assert (await desk.order(order_id)).status is Status.PENDING


async def test_an_order_is_cancelled_once(desk: OrderDesk) -> None:
    order_id = await desk.place()
    await desk.cancel(order_id)

    with pytest.raises(Refusal) as refused:
        await desk.cancel(order_id)

    assert (refused.value.code, refused.value.status) == ("invalid_state", 409)
    assert await desk.said(order_id) == ["OrderPlaced", "OrderCancelRequested"]


async def tell_every_story(desk: OrderDesk) -> None:
    """Let orders end, or hang, in every way there is."""
    ids = await desk.place_many(12)
    completed, rejected, declined, failed, cancelled, short, *others = ids
    expired, stuck, refunded, accepted, left, paid = others
    late = uuid7()
    for order_id in (completed, failed, stuck, refunded):
        await desk.hear(StockReserved(order_id=order_id), PaymentAuthorized(order_id=order_id))
    for order_id in (completed, refunded):
        await desk.hear(
            PaymentCaptured(order_id=order_id, amount=TOTAL), StockCommitted(order_id=order_id)
        )
    await desk.hear(StockRejected(order_id=rejected, reason="insufficient_stock"))
    await desk.hear(PaymentVoided(order_id=rejected, closing=True))
    await desk.hear(PaymentDeclined(order_id=declined, code="expired_card"))
    await desk.hear(PaymentCaptureFailed(order_id=failed, code="expired_card"))
    await desk.cancel(cancelled)
    await desk.hear(StockReleased(order_id=cancelled, closing=True))
    await desk.hear(PaymentVoided(order_id=cancelled, closing=True))
    await desk.hear(partly(short), partly(accepted), partly(left), partly(paid))
    for order_id, choice in (
        (accepted, Choice.ACCEPT_PARTIAL),
        (left, Choice.CANCEL),
        (paid, Choice.ACCEPT_PARTIAL),
    ):
        await desk.decide(order_id, choice)
    await desk.hear(PaymentAuthorized(order_id=paid))
    await desk.hear(PaymentCaptured(order_id=paid, amount=MUG), StockCommitted(order_id=paid))
    await desk.cancel(refunded)
    await desk.hear(
        PaymentRefunded(
            order_id=refunded, refund_id=late, amount=TOTAL, cumulative=TOTAL, closing=True
        )
    )
    await tell_of_refunds(desk, completed)
    await desk.move(expired, "deadline_at", timedelta(hours=-1))
    await desk.move(stuck, "stuck_at", timedelta(hours=-1))
    async with desk.database.transaction() as tx:
        assert await handlers.expire_orders(tx, limit=10, patience=desk.patience) == 1
        assert await handlers.call_stuck(tx, limit=10, patience=desk.patience) == 1
    await desk.move(expired, "deadline_at", timedelta(hours=1))


async def test_what_is_settled_follows_from_health_and_for_some_from_status(
    desk: OrderDesk,
) -> None:
    await tell_every_story(desk)

    rows = await desk.rows("SELECT saga, status, settled_at FROM orders")

    assert {row["saga"] for row in rows} == set(Health)
    assert all((row["settled_at"] is None) == (row["saga"] in UNDER_WAY) for row in rows)
    assert all(row["settled_at"] is None for row in rows if row["status"] in UNSETTLED)


async def tell_of_refunds(desk: OrderDesk, order_id: UUID) -> None:
    """Have one refund of each state: by lines, by amount, and one that fails."""
    first = await desk.refund(order_id, lines=(ReturnedLine(1, 2),), restock=True)
    second = await desk.refund(order_id, amount=100)
    await desk.refund(order_id, amount=10)
    part = Money(amount=510, currency="GBP")
    await desk.hear(
        PaymentRefunded(
            order_id=order_id, refund_id=first, amount=part, cumulative=part, closing=False
        ),
        RefundFailed(
            order_id=order_id, refund_id=second, amount=part, code="expired_card", closing=False
        ),
    )


async def test_an_open_refund_is_seen_by_its_age(desk: OrderDesk) -> None:
    order_id = await desk.place()
    await desk.complete(order_id)
    refund_id = await desk.refund(order_id, amount=100)
    part = Money(amount=100, currency="GBP")

    async def age() -> float:
        async with desk.database.transaction() as tx:
            await handlers.measure_open(tx)
        seconds = REGISTRY.get_sample_value("pedido_refunds_oldest_open_age_seconds")
        assert seconds is not None
        return seconds

    async with desk.database.transaction() as tx:
        await tx.execute("UPDATE refunds SET updated_at = now() - interval '1 hour'")
    hanging = await age()
    await desk.hear(
        PaymentRefunded(
            order_id=order_id, refund_id=refund_id, amount=part, cumulative=part, closing=False
        )
    )

    assert 3600 <= hanging < 3700
    assert await age() == 0


async def rebuild(desk: OrderDesk) -> int:
    rows, last = 0, None
    while True:
        async with desk.database.transaction() as tx:
            batch = await handlers.rebuild_projection(tx, after=last, patience=desk.patience)
        if not batch:
            return rows
        rows, last = rows + len(batch), batch[-1]


@pytest.mark.parametrize("lost", ["rows spoilt", "rows lost"])
async def test_the_projection_can_be_made_anew_from_the_histories(
    desk: OrderDesk, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("order_service.handlers.projection.BATCH", 4)
    await tell_every_story(desk)
    live = await desk.rows("SELECT * FROM orders ORDER BY order_id")
    given_back = await desk.rows("SELECT * FROM refunds ORDER BY refund_id")
    lines = await desk.rows("SELECT * FROM order_lines ORDER BY order_id, line_no")
    amended = [
        row["order_id"]
        for row in await desk.rows(
            "SELECT order_id FROM order_events WHERE type = 'OrderLinesAmended'"
        )
    ]
    async with desk.database.transaction() as tx:
        await tx.execute(
            "DELETE FROM orders"
            if lost == "rows lost"
            else "UPDATE orders SET status = 'PENDING', "
            "reason = NULL, closed_by = NULL, version = 1, offer = NULL, own_deadline_at = NULL"
        )
        await tx.execute(
            "DELETE FROM refunds"
            if lost == "rows lost"
            else "UPDATE refunds SET state = 'REQUESTED', code = NULL, amount = 1"
        )
        await tx.execute("UPDATE order_lines SET quantity = 7 WHERE order_id = ANY($1)", amended)

    assert await rebuild(desk) == len(live) == 12

    assert await desk.rows("SELECT * FROM orders ORDER BY order_id") == live
    assert await desk.rows("SELECT * FROM order_lines ORDER BY order_id, line_no") == lines
    assert len(amended) == 2
    assert {row["saga"] for row in live} == set(Health)
    assert await desk.rows("SELECT * FROM refunds ORDER BY refund_id") == given_back
    assert {row["state"] for row in given_back} == set(RefundState)


async def reserve(desk: OrderDesk, order_id: UUID) -> None:
    await desk.hear(StockReserved(order_id=order_id))


@pytest.mark.parametrize(
    ("act", "fact"),
    [(OrderDesk.cancel, "OrderCancelRequested"), (reserve, "StockReserved")],
    ids=["a caller", "the consumer"],
)
async def test_who_waits_for_an_order_that_is_made_anew_finds_it(
    desk: OrderDesk, act: Callable[[OrderDesk, UUID], Coroutine[Any, Any, object]], fact: str
) -> None:
    order_id = await desk.place()

    async with desk.database.transaction() as tx:
        await handlers.rebuild_projection(tx, after=None, patience=desk.patience)
        waiting = asyncio.create_task(act(desk, order_id))
        await eventually(lambda: somebody_waits(desk))
    await waiting

    assert await desk.history(order_id) == ["OrderPlaced", fact]
    assert (await desk.order(order_id)).version == 2


async def somebody_waits(desk: OrderDesk) -> bool:
    return bool(
        await desk.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
    )
