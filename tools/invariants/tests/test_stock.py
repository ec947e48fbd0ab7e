import pytest
from invariants.report import Finding
from invariants.stock import check_reservations, check_stock

from tests.support.shop_at_rest import DECLINED, GOOD, UNDONE, World

pytestmark = pytest.mark.postgres


async def both(world: World) -> tuple[Finding, Finding]:
    return await check_stock(world.db), await check_reservations(world.db)


def broken(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.id for finding in findings if not finding.holds]


async def test_a_shop_at_rest_breaks_none(world: World) -> None:
    assert broken(await both(world)) == []


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE inventory.stock SET available = available + 1",
        "UPDATE inventory.stock SET sold = sold - 1, available = available + 1",
        "UPDATE inventory.movements SET quantity = 11 WHERE kind = 'initial'",
        "DELETE FROM inventory.movements WHERE kind = 'restocked'",
        "ALTER TABLE inventory.stock DROP CONSTRAINT ck_stock_available",
    ],
    ids=["made up", "sold less", "ledger says more", "restocked in secret", "no guard"],
)
async def test_i2_goods_are_made_or_lost(world: World, tampering: str) -> None:
    await world.db.execute(tampering)

    assert broken(await both(world)) == ["I2"]


async def test_i2_a_shelf_was_oversold_for_a_while(world: World) -> None:
    await world.insert(
        "inventory.movements", sku="LAMP", kind="reserved", quantity=8, order_id=GOOD
    )
    await world.insert(
        "inventory.movements", sku="LAMP", kind="released", quantity=8, order_id=GOOD
    )

    finding, _ = await both(world)

    assert not finding.holds
    assert "went down to -1 available" in finding.examples[0]


@pytest.mark.parametrize(
    ("order_id", "state", "restocked"),
    [
        (DECLINED, "HELD", 3),
        (GOOD, "HELD", 0),
        (GOOD, "RELEASED", 3),
        (UNDONE, "COMMITTED", 0),
        (UNDONE, "COMMITTED", 2),
    ],
    ids=["rejected holds", "completed holds", "completed has none", "cancelled keeps", "a part"],
)
async def test_i5_a_reservation_outlives_its_order(
    world: World, order_id: object, state: str, restocked: int
) -> None:
    await world.run(
        """UPDATE inventory.reservations SET state = $2, deadline_at = now()
           WHERE order_id = $1""",
        order_id,
        state,
    )
    await world.run(
        "UPDATE inventory.reservation_lines SET restocked = $2 WHERE order_id = $1",
        order_id,
        restocked,
    )

    assert broken(await both(world)) == ["I5"]


async def test_i5_goods_are_held_for_nobody(world: World) -> None:
    await world.run("UPDATE inventory.stock SET reserved = reserved + 1, available = available - 1")

    assert "I5" in broken(await both(world))


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE orders.order_lines SET quantity = 2",
        "UPDATE orders.order_lines SET line_no = 2",
        "UPDATE orders.order_lines SET sku = 'VASE'",
        "DELETE FROM orders.order_lines",
        "DELETE FROM inventory.reservation_lines",
    ],
    ids=["less", "another line", "another product", "nothing", "not sold"],
)
async def test_i5_an_order_names_other_lines_than_were_sold(world: World, tampering: str) -> None:
    await world.run(f"{tampering} WHERE order_id = $1", GOOD)

    assert broken(await both(world)) == ["I5"]


async def test_i5_a_reservation_has_no_order(world: World) -> None:
    await world.run("DELETE FROM orders.orders WHERE order_id = $1", GOOD)

    assert broken(await both(world)) == ["I5"]
