"""A product's removal: what is held of it goes on, and its version never goes back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from common.database import Database
from common.message import Event, Outcome, Received, Versioned, uuid7
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_service import handlers
from inventory_service.consumers import DECISIONS
from inventory_service.domain import products
from inventory_service.domain.products import AddProduct, AdjustStock, ChangeProduct
from inventory_service.domain.stockroom import Counts, Shelf, Stockroom
from inventory_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderPlaced,
    ProductChanged,
    StockLine,
    StockPartiallyReserved,
    StockRejected,
)
from inventory_service.store import batches

PRICE = Money(amount=255, currency="GBP")
LAMP = AddProduct("lamp", "Lamp", PRICE, 9, 2, allow_partial=True)
DEADLINE = datetime.now(UTC) + timedelta(minutes=15)


def placed(order_id: Any, quantity: int) -> OrderPlaced:
    line = StockLine(line_no=1, sku="lamp", quantity=quantity)
    return OrderPlaced(order_id=order_id, lines=(line,), deadline_at=DEADLINE)


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


async def hear(database: Database, event: Event) -> list[Event | Versioned]:
    """Load, decide and save as the consumer does; answers what it says."""
    message = received(event)
    async with database.transaction() as tx:
        room = await batches.load(tx, [message])
        outcome = DECISIONS[type(event)](room, event)
        assert isinstance(outcome, Outcome)
        room.apply(message, outcome.changes, [])
        await batches.save(tx, room)
    return list(outcome.events)


async def add(database: Database, command: AddProduct = LAMP) -> Shelf:
    async with database.transaction() as tx:
        (shelf,) = await handlers.add_products(tx, [command])
    return shelf


async def remove(database: Database, sku: str = "lamp") -> None:
    async with database.transaction() as tx:
        await handlers.remove_product(tx, sku)


async def counts(database: Database) -> Counts:
    async with database.transaction() as tx:
        row = await tx.fetchrow("SELECT available, reserved, sold FROM stock WHERE sku = 'lamp'")
    assert row
    return Counts(*row)


async def announced(database: Database) -> list[tuple[bool, int]]:
    """List what catalog.v1 will hear: whether the product is there, and the version."""
    async with database.transaction() as tx:
        rows = await tx.fetch(
            """
            SELECT payload IS NOT NULL AS there,
                   convert_from(header_values[array_position(header_names, 'ce_version')], 'UTF8')
                       ::int AS version
              FROM outbox WHERE topic = 'catalog.v1' ORDER BY id
            """
        )
    return [(row["there"], row["version"]) for row in rows]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("ending", "left"),
    [(OrderConfirmed, Counts(2, 0, 7)), (OrderCancelRequested, Counts(9, 0, 0))],
    ids=["sold", "given back"],
)
async def test_what_is_held_of_a_removed_product_is_sold_or_given_back(
    database: Database, ending: type[Event], left: Counts
) -> None:
    await add(database)
    order_id = uuid7()
    await hear(database, placed(order_id, 7))
    await remove(database)

    said = await hear(database, ending.model_validate({"order_id": order_id}))

    assert await counts(database) == left
    assert not any(isinstance(each, Versioned) for each in said)


@pytest.mark.postgres
async def test_a_removed_product_is_reserved_by_nobody_not_even_in_part(
    database: Database,
) -> None:
    await add(database)
    await remove(database)

    said = await hear(database, placed(uuid7(), 1))

    assert [type(each) for each in said] == [StockRejected]


@pytest.mark.postgres
async def test_an_inactive_product_is_reserved_by_nobody_not_even_in_part(
    database: Database,
) -> None:
    await add(database)
    async with database.transaction() as tx:
        await handlers.change_product(tx, ChangeProduct("lamp", active=False))

    said = await hear(database, placed(uuid7(), 10))

    assert [type(each) for each in said] == [StockRejected]


@pytest.mark.postgres
async def test_a_returned_product_s_version_goes_on(database: Database) -> None:
    await add(database)
    await remove(database)
    again = await add(database)
    await remove(database)

    assert again.version == 3
    assert await announced(database) == [(True, 1), (False, 2), (True, 3), (False, 4)]


@pytest.mark.postgres
async def test_a_removal_is_said_once_more_when_its_time_has_come(database: Database) -> None:
    await add(database)
    await remove(database)
    assert await handlers.repeat_tombstones(database) == 0
    async with database.transaction() as tx:
        await tx.execute("UPDATE stock SET tombstone_due_at = now()")

    found = await asyncio.gather(*(handlers.repeat_tombstones(database) for _ in range(4)))

    assert sorted(found) == [0, 0, 0, 1]
    assert await announced(database) == [(True, 1), (False, 2), (False, 2)]


@pytest.mark.postgres
async def test_a_removal_is_not_said_again_of_what_came_back(database: Database) -> None:
    await add(database)
    await remove(database)
    await add(database)

    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT tombstone_due_at FROM stock") is None


@pytest.mark.postgres
async def test_a_bulk_may_bring_back_and_add_together(database: Database) -> None:
    await add(database)
    await remove(database)
    vase = AddProduct("vase", "Vase", PRICE, 3)

    async with database.transaction() as tx:
        shelves = await handlers.add_products(tx, [vase, LAMP])

    assert [(each.sku, each.version, each.counts.available) for each in shelves] == [
        ("vase", 1, 3),
        ("lamp", 3, 9),
    ]


def test_part_of_an_order_says_nothing_of_a_removed_product() -> None:
    gone = products.remove(products.add(LAMP))
    room = Stockroom(shelves={"lamp": gone})

    outcome = DECISIONS[OrderPlaced](room, placed(uuid7(), 1))

    assert isinstance(outcome, Outcome)
    assert not any(isinstance(each, StockPartiallyReserved) for each in outcome.events)


Act = AddProduct | ChangeProduct | AdjustStock | None
ACTS: st.SearchStrategy[Act] = st.one_of(
    st.none(),
    st.builds(lambda stock: AddProduct("lamp", "Lamp", PRICE, stock, 2), st.integers(0, 5)),
    st.builds(
        lambda active, low: ChangeProduct("lamp", active=active, low_stock=low),
        st.booleans(),
        st.integers(0, 3),
    ),
    st.builds(lambda n: AdjustStock("lamp", n, "count"), st.integers(1, 3)),
)


@settings(deadline=None)
@given(st.lists(ACTS, max_size=12))
def test_a_product_s_version_only_grows_and_a_removed_one_is_silent(acts: list[Act]) -> None:
    """None stands for a removal; what the API would refuse is left out."""
    room = Stockroom(shelves={"lamp": products.add(LAMP)})
    versions = [1]
    for act in acts:
        shelf = room.shelves["lamp"]
        match act:
            case AddProduct() if shelf.removed:
                room.shelves["lamp"] = products.revive(shelf, act)
                for movement in products.fill(room.shelves["lamp"], act):
                    room.fold(movement)
                assert room.shelves["lamp"].counts.available == act.stock
            case ChangeProduct() if not shelf.removed:
                room.shelves["lamp"] = products.change(shelf, act)
            case AdjustStock() if not shelf.removed:
                for change in products.adjust(room, act).changes:
                    room.fold(change)
            case None if not shelf.removed:
                room.shelves["lamp"] = products.remove(shelf)
                assert room.available("lamp") == 0
            case _:
                continue
        versions.append(room.shelves["lamp"].version)

    assert versions == sorted(versions)
    assert room.deltas().get("lamp", Counts()) == room.shelves["lamp"].counts


def test_the_announcement_is_of_the_shelf_as_it_is() -> None:
    announcement = products.revive(products.remove(products.add(LAMP)), LAMP).announcement()

    assert isinstance(announcement.event, ProductChanged)
    assert (announcement.event.active, announcement.version) == (True, 3)
