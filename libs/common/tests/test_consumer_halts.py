"""When the consumer does not read on: a flood, a restored database, silence, a stop."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
import till
from aiokafka import AIOKafkaProducer
from common.consumer import Consumer
from common.database import Database
from common.health import Health
from common.http import create_app
from common.message import uuid7
from common.process import check_flood
from common.settings import ServiceSettings
from common.sweeper import Sweeper
from consuming import COUNTED, PLACE, Admin, failing_for, produce, running, taken, till_consumer

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.kafka import Topics
    from tests.support.postgres import Databases

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


async def test_a_stop_under_load_does_not_wait_for_the_next_batch(
    database: Database, admin: Admin, topics: Topics
) -> None:
    stop, consumer = asyncio.Event(), till_consumer(database, topics, consumer_max_records=1)
    await produce(topics, [till.record(uuid7()) for _ in range(3)])

    run = asyncio.create_task(consumer.run(stop))
    async with consumer._hand:
        await eventually(lambda: waiting_for(consumer) == 1)  # a batch
        stop.set()
        await eventually(lambda: waiting_for(consumer) == 2)  # and then who stops it
    await asyncio.wait_for(run, 5)

    assert await admin.fetchval("SELECT count(*) FROM till") == 0


def waiting_for(consumer: Consumer[till.Till]) -> int:
    return len(consumer._hand._waiters or ())


async def test_a_flood_stops_all_until_an_operator_resumes(
    database: Database, admin: Admin, topics: Topics
) -> None:
    orders = [uuid7() for _ in range(200)]
    flooded = till_consumer(database, topics, failing_for(*orders[:100]))
    async with running(flooded, Sweeper(flooded, database)):
        await produce(topics, [till.record(order) for order in orders])
        await eventually(lambda: admin.fetchval("SELECT count(*) FROM consumer_halts"))
    assert await ready_status(flooded) == 503

    healed = till_consumer(database, topics, consumer_watchdog=timedelta(milliseconds=1))
    async with running(healed, Sweeper(healed, database)):
        await eventually(lambda: healed.halted)
        await produce(topics, [till.record(uuid7())])
        await eventually(healed._hand.locked)
        await healed._look()
        await healed._look()  # would end this process if lag counted while halted
        assert await ready_status(healed) == 503
        waiting = "SELECT count(*) FROM parked WHERE state = 'retry'"
        assert await admin.fetchval(waiting) == 100
        assert await admin.fetchval(PLACE) == 200

        await admin.execute("DELETE FROM consumer_halts")
        await taken(admin, healed, topics, 201)
        await eventually(lambda: none_parked(admin))

    assert await ready_status(healed) == 200
    assert await admin.fetchval(COUNTED) == 201


async def test_a_halt_is_noted_when_the_database_answers_again(
    database: Database, admin: Admin, topics: Topics
) -> None:
    consumer = till_consumer(database, topics)
    async with admin.transaction():
        await admin.execute("LOCK TABLE consumer_halts")
        halting = asyncio.create_task(consumer.halt("a flood"))
        await eventually(lambda: waits_for_lock(admin))
        await eventually(lambda: gave_up_once(admin))
    await halting

    assert consumer.halted == "a flood"
    assert await admin.fetchval("SELECT reason FROM consumer_halts") == "a flood"


async def test_a_look_that_fails_is_no_sign_that_records_wait(
    database: Database, admin: Admin, topics: Topics
) -> None:
    consumer = till_consumer(database, topics)
    consumer._behind_since = before = time.monotonic() - 3600
    async with admin.transaction():
        await admin.execute("LOCK TABLE consumer_halts")

        await consumer._look()

    assert consumer._behind_since > before + 3500


async def waits_for_lock(admin: Admin) -> bool:
    return await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1


async def gave_up_once(admin: Admin) -> bool:
    return await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0


async def none_parked(admin: Admin) -> bool:
    return await admin.fetchval("SELECT count(*) FROM parked") == 0


async def ready_status(consumer: Consumer[till.Till]) -> int:
    app = create_app(
        title="till",
        service="till",
        settings=ServiceSettings(app_env="test"),
        health=Health(ready={"consumer": lambda: check_flood(consumer)}),
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://till") as http:
        return (await http.get("/api/v1/health/ready")).status_code


async def test_a_restored_database_is_not_read_past_and_the_rest_flows(
    database: Database, admin: Admin, topics: Topics
) -> None:
    before = till_consumer(database, topics)
    async with running(before):
        await produce(topics, [till.record(uuid7()) for _ in range(3)])
        await taken(admin, before, topics, 3)
    await admin.execute('UPDATE positions SET next_offset = 1 WHERE "partition" = 0')

    restored = till_consumer(database, topics)
    async with running(restored):
        await produce(topics, [till.record(uuid7())])
        await eventually(lambda: len(restored.partitions.withheld) == 1)
        other = till.record(uuid7())
        producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap)
        await producer.start()
        headers = [(name.decode(), value) for name, value in other.headers]
        topic = topics.name("orders.v1")
        await producer.send_and_wait(topic, other.value, other.key, partition=1, headers=headers)
        await eventually(lambda: admin.fetchval(PLACE.replace("= 0", "= 1")))
        # Another joins and leaves while a batch is in hand: no poll sees that between.
        async with restored._hand:
            await producer.send_and_wait(topic, b"", None, partition=1)
            await eventually(lambda: restored._hand._waiters)
            async with running(till_consumer(database, topics)):
                await eventually(lambda: len(restored._client.assignment()) < 3)
            await eventually(lambda: len(restored._client.assignment()) == 3)
        await eventually(lambda: len(restored.partitions.readable) == 2)
        await producer.send_and_wait(topic, b"", None, partition=1)
        await eventually(lambda: three_in(admin))
        await producer.stop()

    assert await admin.fetchval(PLACE) == 1
    assert await admin.fetchval(COUNTED) == 4


async def three_in(admin: Admin) -> bool:
    return await admin.fetchval(PLACE.replace("= 0", "= 1")) == 3


@pytest.mark.parametrize("kind", ["paused", "without fetcher"])
async def test_a_consumer_that_gets_nothing_while_records_wait_ends_its_process(
    empty_databases: Databases, admin: Admin, topics: Topics, kind: str
) -> None:
    await produce(topics, [till.record(uuid7())])
    script = Path(__file__).with_name("stuck.py")
    dsn = empty_databases.app_dsn("inventory")

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), kind, dsn, topics.bootstrap, topics.prefix),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 50)

    assert process.returncode == 1
    assert b"records wait and none comes" in output
    assert await admin.fetchval("SELECT count(*) FROM inbox") == 0
