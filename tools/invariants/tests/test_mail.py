from uuid import UUID

import pytest
from invariants.mail import BOX, check_mail, read_letters
from invariants.report import Finding

from tests.support.shop_at_rest import DECLINED, GOOD, UNDONE, World

pytestmark = pytest.mark.postgres

STRANGER = UUID("0198f3a0-0009-7000-8000-000000000009")


async def finding(world: World) -> Finding:
    return await check_mail(world.db, world.mail)


async def test_a_shop_at_rest_breaks_none(world: World) -> None:
    found = await finding(world)

    assert found.holds
    assert found.checked == "4 messages for 4 notifications"


async def test_i6_a_sent_message_never_arrived(world: World) -> None:
    (world.mail / BOX).unlink()

    assert (await finding(world)).violations == 4


async def test_i6_one_message_arrives_under_two_ids(world: World) -> None:
    world.deliver(GOOD, "confirmed", f"<{UNDONE}.confirmed.-@pedido>")

    assert not (await finding(world)).holds


async def test_i6_a_message_arrives_that_nobody_owed(world: World) -> None:
    world.deliver(GOOD, "cancelled")

    assert not (await finding(world)).holds


async def test_i6_a_customer_is_owed_a_message(world: World) -> None:
    await world.run("DELETE FROM notifications.notifications WHERE order_id = $1", DECLINED)

    found = await finding(world)

    assert f"order {DECLINED} was owed a 'rejected' e-mail" in found.examples


async def test_i6_a_message_was_never_sent(world: World) -> None:
    await world.run(
        "UPDATE notifications.notifications SET status = 'PENDING' WHERE order_id = $1", GOOD
    )

    assert not (await finding(world)).holds


async def test_a_repeated_delivery_is_counted_apart(world: World) -> None:
    world.deliver(GOOD, "confirmed")

    found = await finding(world)

    assert found.holds
    assert "1 repeated delivery" in found.notes[0]


@pytest.mark.parametrize("status", ["FAILED", "SUPPRESSED"])
async def test_a_message_that_could_not_be_sent_is_counted(world: World, status: str) -> None:
    kept = [each for each in read_letters(world.mail) if f"<{DECLINED}.".encode() not in each]
    (world.mail / BOX).write_bytes(b"".join(b"From sink\n" + each + b"\n" for each in kept))
    await world.run(
        "UPDATE notifications.notifications SET status = $1 WHERE order_id = $2", status, DECLINED
    )

    found = await finding(world)

    assert found.holds
    assert found.notes == (f"1 notification {status.lower()}",)


async def test_mail_of_another_database_is_left_out(world: World) -> None:
    world.deliver(STRANGER, "confirmed")

    assert (await finding(world)).holds


async def _welcome(world: World, customer_id: UUID) -> None:
    await world.insert("notifications.customers", customer_id=customer_id, version=1)
    await world.insert(
        "notifications.notifications",
        id=customer_id,
        kind="welcome",
        subject=str(customer_id),
        reason="",
        message_id=f"<-.welcome.{customer_id}@pedido>",
        status="SENT",
    )


async def test_a_message_about_no_order_counts_too(world: World) -> None:
    await _welcome(world, STRANGER)
    world.deliver("-", "welcome", subject=STRANGER)

    found = await finding(world)

    assert found.holds
    assert found.checked == "5 messages for 5 notifications"


async def test_i6_a_customer_was_never_welcomed(world: World) -> None:
    await _welcome(world, STRANGER)

    found = await finding(world)

    assert f"notification - welcome {STRANGER} is SENT and never arrived" in found.examples
