from uuid import UUID, uuid4

import pytest
from common.message import uuid7
from invariants.decides import HEARD
from invariants.delivery import check_order, check_rest, check_taken
from invariants.report import Finding

from tests.support.shop_at_rest import GOOD, World

pytestmark = pytest.mark.postgres


async def taken(world: World) -> Finding:
    return await check_taken(world.db, world.log, prefix="")


async def test_a_shop_at_rest_breaks_none(world: World) -> None:
    assert (await taken(world)).holds
    assert (await check_order(world.db)).holds
    assert (await check_rest(world.db, {})).holds


@pytest.mark.parametrize("service", HEARD)
async def test_i9_a_consumer_missed_one_event_of_each_type(world: World, service: str) -> None:
    types = [name for types in HEARD[service].values() for name in types]
    for event_type in types:
        event_id = uuid7()
        place = world.publish(event_type, event_id)
        for other, heard in HEARD.items():
            if other != service and event_type in heard.get(place[0], ()):
                await world.take(other, event_id, place)

    found = await taken(world)

    assert found.violations == len(types)
    assert all(example.startswith(f"{service} never took") for example in found.examples)


async def test_i9_a_consumer_took_what_nobody_published(world: World) -> None:
    await world.take("inventory-service", uuid7(), ("orders.v1", 0, 99))

    assert "is on no topic" in (await taken(world)).examples[0]


async def test_i9_an_announced_event_never_reached_its_topic(world: World) -> None:
    await world.run(
        "UPDATE orders.order_events SET event_id = gen_random_uuid()"
        " WHERE type = 'OrderCompleted' AND order_id = $1",
        GOOD,
    )

    assert "never reached its topic" in (await taken(world)).examples[0]


async def test_i9_a_message_is_parked_that_was_never_taken(world: World) -> None:
    await world.park("payment-service", ("orders.v1", 0, 99), event_id=uuid7(), state="retry")

    assert "without taking it" in (await taken(world)).examples[0]


async def test_a_type_that_a_consumer_does_not_decide_on_is_not_missed(world: World) -> None:
    event_id = uuid7()
    place = world.publish("OrderDelivered", event_id)
    await world.take("notification-service", event_id, place)

    assert (await taken(world)).holds


async def test_an_event_published_twice_is_taken_once(world: World) -> None:
    event_id = world.log.ids["orders.v1", "OrderConfirmed"].copy().popitem()[0]
    world.publish("OrderConfirmed", event_id)

    assert (await taken(world)).holds


@pytest.mark.parametrize("event_id", [None, uuid4()], ids=["no id", "not version 7"])
async def test_a_record_without_a_usable_id_is_counted_apart(
    world: World, event_id: UUID | None
) -> None:
    headers = {"ce_type": b"OrderPlaced", "ce_id": str(event_id).encode()}
    world.log.add(("orders.v1", 0, 99), headers)

    found = await taken(world)

    assert found.holds
    assert found.notes == ("1 record without a usable id",)


async def test_a_record_that_can_not_be_read_is_parked_and_not_missed(world: World) -> None:
    place = world.publish("OrderPlaced", uuid7())
    for service in ("inventory-service", "payment-service", "notification-service"):
        await world.park(service, place)

    assert (await taken(world)).holds


async def test_an_edited_message_is_left_apart(world: World) -> None:
    await world.take("inventory-service", uuid7(), ("orders.v1", 0, 99), origin="edited")

    assert (await taken(world)).holds


async def test_a_topic_whose_beginning_is_gone_is_said_to_be(world: World) -> None:
    world.log.trimmed.add("orders.v1")
    await world.take("inventory-service", uuid7(), ("orders.v1", 0, 1))

    found = await taken(world)

    assert found.holds
    assert "orders.v1" in found.notes[0]


async def test_i10_a_key_was_taken_out_of_order(world: World) -> None:
    await world.run(
        """UPDATE payments.inbox SET seq = -1 WHERE "offset" =
           (SELECT max("offset") FROM payments.inbox WHERE key = $1)""",
        str(GOOD).encode(),
    )

    assert not (await check_order(world.db)).holds


async def test_other_keys_may_be_taken_in_any_order(world: World) -> None:
    await world.take("payment-service", uuid7(), ("orders.v1", 0, 500), seq=-5, key=b"another")

    assert (await check_order(world.db)).holds


async def test_i11_a_consumer_is_behind(world: World) -> None:
    found = await check_rest(world.db, {("order-service", "payments.v1"): 3})

    assert found.examples == ("order-service is 3 records behind on payments.v1",)


@pytest.mark.parametrize("state", ["retry", "dead"])
async def test_i11_a_message_waits(world: World, state: str) -> None:
    await world.park("order-service", ("payments.v1", 0, 1), state=state, event_id=uuid7())

    assert not (await check_rest(world.db, {})).holds


async def test_i11_an_outbox_is_not_empty(world: World) -> None:
    await world.insert(
        "notifications.outbox",
        event_id=uuid7(),
        shard=0,
        topic="notifications.v1",
        aggregatetype="notifications",
        type="NotificationSent",
        header_names=[],
        header_values=[],
    )

    assert not (await check_rest(world.db, {})).holds


@pytest.mark.parametrize("saga", ["RUNNING", "WAITING", "COMPENSATING", "STUCK"])
async def test_i11_a_saga_is_open(world: World, saga: str) -> None:
    await world.run("UPDATE orders.orders SET saga = $1 WHERE order_id = $2", saga, GOOD)

    assert not (await check_rest(world.db, {})).holds


async def test_i11_a_refund_is_neither_made_nor_refused(world: World) -> None:
    await world.run("UPDATE orders.refunds SET state = 'REQUESTED'")

    assert not (await check_rest(world.db, {})).holds


async def test_i11_a_consumer_has_halted(world: World) -> None:
    await world.insert("payments.consumer_halts", consumer="payment-service", reason="flood")

    assert not (await check_rest(world.db, {})).holds
