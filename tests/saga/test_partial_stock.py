"""An order for more than there is of a product that may be sold in part, through all services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from invariants.money import NOTHING, Charges, read_ledger

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from demo.shop import Answer
    from devstack.stack import Stack

    from tests.saga.conftest import Town

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]

LANTERN = 339
STOCK = 100


async def order_too_many(town: Town, quantity: int = 120) -> UUID:
    """Order more lanterns than there are, and wait to be asked."""
    await town.db.execute("UPDATE inventory.stock SET allow_partial = true")
    order = await town.order(quantity)
    await eventually(lambda: status(town, order, "ACTION_REQUIRED"))
    return order


async def status(town: Town, order: UUID, wanted: str) -> Any:
    return await town.db.fetchval(
        "SELECT status = $2 FROM orders.orders WHERE order_id = $1", order, wanted
    )


async def decide(town: Town, order: UUID, choice: str, key: str | None = None) -> Answer:
    return await town.shop.decide(town.customer, key or str(uuid4()), order, choice)


async def told(town: Town, order: UUID) -> set[str]:
    rows = await town.db.fetch(
        "SELECT kind FROM notifications.notifications WHERE order_id = $1 AND status = 'SENT'",
        order,
    )
    return {row["kind"] for row in rows}


def charges(stack: Stack, order: UUID) -> Charges:
    return read_ledger(stack.gateway_ledger).get(str(order), NOTHING)


async def test_what_is_accepted_is_charged_and_sold_and_no_more(town: Town, stack: Stack) -> None:
    order = await order_too_many(town)
    assert await town.stock() == (0, STOCK, 0)
    assert charges(stack, order) == NOTHING

    first = await decide(town, order, "accept_partial", "key")
    again = await decide(town, order, "accept_partial", "key")
    other = await decide(town, order, "cancel")

    assert (first.status, again.status, again.body) == (202, 202, first.body)
    assert (other.status, other.code) == (409, "invalid_state")
    assert await town.settled(order) == "COMPLETED"
    assert await town.stock() == (0, 0, STOCK)
    charged = charges(stack, order)
    assert (charged.authorisations, charged.captures) == (1, 1)
    assert charged.authorised == charged.captured == STOCK * LANTERN
    total = await town.db.fetchval("SELECT total FROM orders.orders WHERE order_id = $1", order)
    assert total == STOCK * LANTERN
    await eventually(lambda: _told(town, order, {"decide", "confirmed"}))


async def test_what_is_left_goes_back(town: Town, stack: Stack) -> None:
    order = await order_too_many(town)

    assert (await decide(town, order, "cancel")).status == 202

    assert await town.settled(order) == "CANCELLED"
    assert await town.stock() == (STOCK, 0, 0)
    assert charges(stack, order) == NOTHING


async def test_an_offer_that_nobody_answers_ends_in_time(town: Town, stack: Stack) -> None:
    order = await order_too_many(town)
    await town.db.execute(
        "UPDATE orders.orders SET deadline_at = now() - interval '1 second' WHERE order_id = $1",
        order,
    )

    late = await decide(town, order, "accept_partial")

    assert (late.status, late.code) == (410, "decision_expired")
    assert await town.settled(order) == "EXPIRED"
    assert await town.stock() == (STOCK, 0, 0)
    assert charges(stack, order) == NOTHING
    later = await decide(town, order, "accept_partial")
    assert (later.status, later.code) == (410, "decision_expired")


async def test_an_accepted_part_that_is_not_paid_for_goes_back(town: Town, stack: Stack) -> None:
    await town.db.execute("UPDATE inventory.stock SET allow_partial = true")
    order = await town.order(STOCK + 1, "pm_declined_insufficient_funds")
    await eventually(lambda: status(town, order, "ACTION_REQUIRED"))

    assert (await decide(town, order, "accept_partial")).status == 202

    assert await town.settled(order) == "REJECTED"
    assert await town.stock() == (STOCK, 0, 0)
    assert charges(stack, order).captured == 0


async def test_an_accepted_part_can_be_given_back_as_a_whole(town: Town, stack: Stack) -> None:
    order = await order_too_many(town)
    assert (await decide(town, order, "accept_partial")).status == 202
    assert await town.settled(order) == "COMPLETED"

    assert await town.cancel(order) == 202

    await eventually(lambda: status(town, order, "CANCELLED"))
    assert await town.stock() == (STOCK, 0, STOCK)  # sold, and restocked
    charged = charges(stack, order)
    assert charged.captured == charged.refunded == STOCK * LANTERN


async def _told(town: Town, order: UUID, kinds: set[str]) -> bool:
    return await told(town, order) == kinds
