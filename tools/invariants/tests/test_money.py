from pathlib import Path
from uuid import UUID

import pytest
from invariants import money
from invariants.report import Finding
from invariants.sources import SourceError

from tests.support.shop_at_rest import DECLINED, GOOD, TOTAL, UNDONE, World

pytestmark = pytest.mark.postgres

STRANGER = UUID("0198f3a0-0009-7000-8000-000000000009")


async def both(world: World) -> tuple[Finding, Finding]:
    ledger = money.read_ledger(world.ledger)
    orders = await money.read_orders(world.db)
    unknown = await money.strangers(world.db, ledger)
    return money.check_charges(ledger, orders, unknown), money.check_books(ledger, orders)


def broken(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.id for finding in findings if not finding.holds]


async def test_a_shop_at_rest_breaks_none(world: World) -> None:
    assert broken(await both(world)) == []


async def test_i3_an_order_is_charged_twice(world: World) -> None:
    world.effect(GOOD, "capture")

    assert "I3" in broken(await both(world))


async def test_i3_money_is_held_twice(world: World) -> None:
    world.effect(GOOD, "authorize")

    assert "I3" in broken(await both(world))


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE orders.orders SET total = total + 1 WHERE order_id = $1",
        "UPDATE orders.orders SET currency = 'EUR' WHERE order_id = $1",
    ],
    ids=["another amount", "another currency"],
)
async def test_i3_a_charge_is_not_what_the_order_costs(world: World, tampering: str) -> None:
    await world.run(tampering, GOOD)

    assert "I3" in broken(await both(world))


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM orders.refunds WHERE order_id = $1",
        "UPDATE orders.refunds SET amount = amount - 1 WHERE order_id = $1",
        "UPDATE orders.refunds SET state = 'FAILED' WHERE order_id = $1",
        "UPDATE orders.orders SET amount_refunded = 0 WHERE order_id = $1",
    ],
    ids=["no refund", "another amount", "none that succeeded", "not counted"],
)
async def test_i4_what_was_given_back_is_not_what_our_books_say(
    world: World, tampering: str
) -> None:
    await world.run(tampering, UNDONE)

    assert broken(await both(world)) == ["I4"]


async def test_i3_a_charge_has_no_order(world: World) -> None:
    await world.run("DELETE FROM orders.orders WHERE order_id = $1", GOOD)

    assert broken(await both(world)) == ["I3"]


async def test_charges_of_another_database_are_left_out_and_counted(world: World) -> None:
    world.effect(STRANGER, "capture")

    charges, _ = await both(world)

    assert charges.holds
    assert charges.notes == ("1 order of other databases left out",)


async def test_i4_a_completed_order_is_not_paid(world: World) -> None:
    await world.run(
        "UPDATE orders.orders SET status = 'COMPLETED', saga = 'COMPLETED' WHERE order_id = $1",
        DECLINED,
    )

    assert broken(await both(world)) == ["I4"]


async def test_i4_a_refund_is_not_in_our_books(world: World) -> None:
    world.effect(GOOD, "refund", amount=1)

    assert broken(await both(world)) == ["I4"]


async def test_i4_our_books_claim_a_refund(world: World) -> None:
    await world.run("UPDATE orders.orders SET amount_refunded = 1 WHERE order_id = $1", GOOD)

    assert broken(await both(world)) == ["I4"]


async def test_i4_a_rejected_order_still_holds_money(world: World) -> None:
    world.effect(DECLINED, "authorize")

    assert broken(await both(world)) == ["I4"]


async def test_i4_a_cancelled_order_got_less_back_than_it_paid(world: World) -> None:
    world.effect(UNDONE, "refund", amount=-1)

    _, books = await both(world)

    assert books.examples == (
        f"order {UNDONE} is CANCELLED: captured {TOTAL}, refunded {TOTAL - 1}",
    )


async def test_a_voided_authorisation_holds_nothing(world: World) -> None:
    world.effect(DECLINED, "authorize")
    world.effect(DECLINED, "cancel")

    assert broken(await both(world)) == []


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("not a database at all, just some text that is long enough for a header")

    with pytest.raises(SourceError, match="GATEWAY_LEDGER"):
        money.read_ledger(path)
