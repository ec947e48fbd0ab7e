from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from common.database import Database
from common.errors import Contended
from common.message import Event, Outcome, Received, uuid7
from inventory_service.consumers import DECISIONS
from inventory_service.domain.products import AddProduct
from inventory_service.domain.stockroom import Counts, HeldLine, Movement, MovementKind, Stockroom
from inventory_service.handlers import add_products
from inventory_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderLinesAmended,
    OrderPlaced,
    RefundRequested,
    StockLine,
)
from inventory_service.store import batches

pytestmark = pytest.mark.postgres

DEADLINE = datetime.now(UTC) + timedelta(minutes=15)
SKUS = [f"sku-{number}" for number in range(8)]


async def stocked(database: Database, available: int) -> None:
    price = Money(amount=100, currency="GBP")
    async with database.transaction() as tx:
        await add_products(tx, [AddProduct(sku, sku, price, available, 2) for sku in SKUS])


def placed(order_id: UUID, *wanted: tuple[str, int]) -> OrderPlaced:
    lines = tuple(
        StockLine(line_no=number, sku=sku, quantity=quantity)
        for number, (sku, quantity) in enumerate(wanted, start=1)
    )
    return OrderPlaced(order_id=order_id, lines=lines, deadline_at=DEADLINE)


def received(event: Event) -> Received:
    return Received(
        event=event,
        event_id=uuid7(),
        key=event.key().encode(),
        topic=event.TOPIC,
        partition=0,
        offset=0,
        occurred_at=DEADLINE,
        correlation_id="test",
    )


async def handle(database: Database, *events: Event) -> Stockroom:
    """Load, fold and save these events in one transaction, as the consumer does."""
    batch = [received(event) for event in events]
    async with database.transaction() as tx:
        room = await batches.load(tx, batch)
        for message in batch:
            outcome = DECISIONS[type(message.event)](room, message.event)
            if isinstance(outcome, Outcome):
                room.apply(message, outcome.changes, [])
        await batches.save(tx, room)
    return room


async def loaded(database: Database, *events: Event, lock_timeout: str = "2s") -> Stockroom:
    async with database.transaction() as tx:
        await tx.execute("SELECT set_config('lock_timeout', $1, true)", lock_timeout)
        return await batches.load(tx, [received(event) for event in events])


async def move(database: Database, movement: Movement) -> None:
    async with database.transaction() as tx:
        room = Stockroom(shelves=await batches.lock_shelves(tx, [movement.sku]))
        room.fold(movement)
        await batches.save(tx, room)


async def unbalanced(database: Database) -> Sequence[asyncpg.Record]:
    """List the products whose counts are not what ledger and reservations say."""
    async with database.transaction() as tx:
        return await tx.fetch(
            """
            WITH moved AS (
                SELECT sku, sum(quantity) FILTER (WHERE kind IN ('initial', 'adjusted',
                                                                 'restocked')) AS came
                  FROM movements GROUP BY sku
            ), held AS (
                SELECT sku, sum(quantity) AS pieces
                  FROM reservation_lines JOIN reservations USING (order_id)
                 WHERE state = 'HELD' GROUP BY sku
            )
            SELECT * FROM stock LEFT JOIN moved USING (sku) LEFT JOIN held USING (sku)
             WHERE coalesce(came, 0) <> available + reserved + sold
                OR coalesce(pieces, 0) <> reserved
            """
        )


async def test_what_was_saved_is_loaded_again(database: Database) -> None:
    await stocked(database, 10)
    order_id, refund_id = uuid7(), uuid7()
    refund = RefundRequested(
        order_id=order_id,
        refund_id=refund_id,
        lines=(StockLine(line_no=1, sku=SKUS[0], quantity=1),),
    )

    await handle(database, placed(order_id, (SKUS[0], 3), (SKUS[1], 2)))
    saved = await handle(database, OrderConfirmed(order_id=order_id), refund)
    again = await loaded(database, refund)

    assert again.reservations == saved.reservations
    assert again.shelves == saved.shelves
    assert again.refunds == {refund_id}
    assert again.shelves[SKUS[0]].counts == Counts(8, 0, 3)
    assert await unbalanced(database) == []


async def test_lines_that_were_not_taken_are_gone_after_any_start(database: Database) -> None:
    await stocked(database, 10)
    first, second = uuid7(), uuid7()
    wanted = ((SKUS[0], 5), (SKUS[1], 2))
    amended = [
        OrderLinesAmended(order_id=order_id, lines=(StockLine(line_no=1, sku=SKUS[0], quantity=3),))
        for order_id in (first, second)
    ]

    await handle(database, placed(first, *wanted), OrderConfirmed(order_id=first))
    await handle(database, *amended)
    await handle(database, placed(second, *wanted))

    room = await loaded(database, *amended)
    for order_id in (first, second):
        assert room.reservation(order_id).lines == (HeldLine(1, SKUS[0], 3),)
    assert room.shelves[SKUS[0]].counts == Counts(4, 3, 3)
    assert await unbalanced(database) == []


async def test_a_story_within_one_batch_is_saved_as_a_whole(database: Database) -> None:
    await stocked(database, 10)
    order_id = uuid7()

    await handle(
        database,
        placed(order_id, (SKUS[0], 3)),
        OrderConfirmed(order_id=order_id),
        OrderCancelRequested(order_id=order_id),
    )

    room = await loaded(database, OrderConfirmed(order_id=order_id), placed(uuid7(), (SKUS[0], 1)))
    assert room.reservation(order_id).state == "RELEASED"
    assert room.shelves[SKUS[0]].counts == Counts(10, 0, 3)
    assert await unbalanced(database) == []


async def test_products_are_loaded_for_lines_placed_and_for_lines_held(database: Database) -> None:
    await stocked(database, 10)
    order_id = uuid7()
    await handle(database, placed(order_id, (SKUS[3], 1)))

    room = await loaded(
        database, OrderConfirmed(order_id=order_id), placed(uuid7(), (SKUS[5], 1), ("nowhere", 1))
    )

    assert set(room.shelves) == {SKUS[3], SKUS[5]}


async def test_an_order_that_nobody_heard_of_is_locked_too(database: Database) -> None:
    event = OrderCancelRequested(order_id=uuid7())
    async with database.transaction() as first:
        await batches.load(first, [received(event)])

        with pytest.raises(Contended):
            await loaded(database, event, lock_timeout="50ms")


@pytest.mark.parametrize(
    ("kind", "quantity"),
    [(MovementKind.RESERVED, 11), (MovementKind.RELEASED, 1), (MovementKind.COMMITTED, 1)],
    ids=["more than is there", "more than is reserved", "sold and not reserved"],
)
async def test_the_database_refuses_counts_below_zero(
    database: Database, kind: MovementKind, quantity: int
) -> None:
    await stocked(database, 10)

    with pytest.raises(asyncpg.CheckViolationError):
        await move(database, Movement(SKUS[0], kind, quantity, uuid7()))


async def test_two_instances_under_mixed_load_never_deadlock(database: Database) -> None:
    await stocked(database, 200)
    other = Database(database.settings, name="inventory-service")
    chance = random.Random(7)  # noqa: S311  a story that can be told again
    order_ids = [uuid7() for _ in range(60)]
    batched = [[_any_event(chance, order_ids) for _ in range(20)] for _ in range(80)]

    async def instance(mine: Database, share: Sequence[Sequence[Event]]) -> None:
        for events in share:
            await handle(mine, *events)

    async with asyncio.TaskGroup() as group:
        # A deadlock would surface as Contended and end the test.
        for lane in range(4):
            group.create_task(instance((database, other)[lane % 2], batched[lane::4]))
    await other.close()

    assert await unbalanced(database) == []


def _any_event(chance: random.Random, order_ids: Sequence[UUID]) -> Event:
    order_id = chance.choice(order_ids)
    lines = tuple(
        StockLine(line_no=number, sku=sku, quantity=chance.randint(1, 3))
        for number, sku in enumerate(chance.sample(SKUS, chance.randint(1, 5)), start=1)
    )
    return chance.choice(
        [
            OrderPlaced(order_id=order_id, lines=lines, deadline_at=DEADLINE),
            OrderConfirmed(order_id=order_id),
            OrderCancelRequested(order_id=order_id),
            RefundRequested(order_id=order_id, refund_id=uuid7(), lines=lines),
        ]
    )
