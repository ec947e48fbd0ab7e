import pytest
from invariants.digest import digest_outside, digest_tables

from tests.support.shop_at_rest import GOOD, World

pytestmark = pytest.mark.postgres


async def test_the_same_state_has_the_same_digest(world: World) -> None:
    before = await digest_tables(world.db)
    await world.run("DELETE FROM orders.inbox")
    await world.db.execute("CREATE TEMP TABLE copied AS SELECT * FROM inventory.movements")
    await world.run("DELETE FROM inventory.movements")
    await world.db.execute(
        "INSERT INTO inventory.movements OVERRIDING SYSTEM VALUE "
        "SELECT * FROM copied ORDER BY id DESC"
    )

    assert await digest_tables(world.db) == before


@pytest.mark.parametrize(
    ("table", "tampering"),
    [
        ("orders.orders", "UPDATE {} SET updated_at = updated_at + interval '1 microsecond'"),
        ("inventory.stock", "UPDATE {} SET version = version + 1"),
        ("payments.payments", "DELETE FROM {}"),
        ("notifications.notifications", "UPDATE {} SET reason = 'other'"),
    ],
    ids=["touched", "a version", "a row gone", "a word"],
)
async def test_a_change_shows_in_its_table_alone(world: World, table: str, tampering: str) -> None:
    before = await digest_tables(world.db)
    await world.run(tampering.format(table))

    after = await digest_tables(world.db)

    assert {name for name in before if before[name] != after[name]} == {table}


async def test_a_second_charge_and_a_second_mail_show(world: World) -> None:
    before = digest_outside(world.ledger, world.mail)
    world.effect(GOOD, "capture")
    world.deliver(GOOD, "confirmed")

    after = digest_outside(world.ledger, world.mail)

    assert {name for name in before if before[name] != after[name]} == {"ledger.effects", "mail"}
