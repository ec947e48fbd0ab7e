from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from common.message import uuid7
from invariants import topics as reading
from invariants.checker import check
from invariants.rest import Moving
from invariants.sources import SourceError, Sources

from tests.support.kafka import Topics
from tests.support.shop_at_rest import Shop, World

pytestmark = pytest.mark.kafka


@pytest.fixture
def sources(topics: Topics, shop_at_rest: Shop, world: World) -> Sources:
    return Sources(
        shop_at_rest.dsn, topics.bootstrap, world.ledger, world.mail, topic_prefix=topics.prefix
    )


@asynccontextmanager
async def producing(topics: Topics) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def publish(topics: Topics, topic: str, *ids: bytes) -> None:
    async with producing(topics) as producer:
        for event_id in ids:
            headers = [("ce_type", b"OrderPlaced"), ("ce_id", event_id)]
            await producer.send_and_wait(topics.name(topic), b"", key=event_id, headers=headers)


async def take_all(topics: Topics, group: str, *heard: str) -> None:
    """Commit the end of each partition, as a consumer that has taken everything does."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap,
        group_id=topics.prefix + group,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        parts = [TopicPartition(topics.name(topic), n) for topic in heard for n in range(3)]
        consumer.assign(parts)
        await consumer.commit(await consumer.end_offsets(parts))
    finally:
        await consumer.stop()


async def test_every_record_is_read_once(topics: Topics, sources: Sources) -> None:
    ids = [str(uuid7()).encode() for _ in range(50)]
    await publish(topics, "orders.v1", *ids, *ids[:5], b"\xff")
    await publish(topics, "order-service.dlt", ids[0])

    log = await reading.read(sources)

    assert log.counts["orders.v1", "OrderPlaced"] == 56
    assert len(log.ids["orders.v1", "OrderPlaced"]) == 50
    assert log.unusable == 1
    assert log.sizes["order-service.dlt"] == 1
    assert log.trimmed == set()


async def test_a_group_that_never_committed_is_behind_by_everything(
    topics: Topics, sources: Sources
) -> None:
    await publish(topics, "orders.v1", str(uuid7()).encode())
    await take_all(topics, "inventory-service", "orders.v1")

    behind = await reading.lag(sources)

    assert behind == {
        ("payment-service", "orders.v1"): 1,
        ("notification-service", "orders.v1"): 1,
    }


async def test_topics_that_are_not_there_are_named(sources: Sources) -> None:
    elsewhere = Sources(
        sources.database_url, sources.kafka, sources.ledger, sources.mail, topic_prefix="no."
    )

    with pytest.raises(SourceError, match=r"no\.orders\.v1"):
        await reading.lag(elsewhere)


async def test_a_broker_that_is_away_is_named(sources: Sources) -> None:
    away = Sources(sources.database_url, "127.0.0.1:9", sources.ledger, sources.mail)

    with pytest.raises(SourceError, match="KAFKA_BOOTSTRAP_SERVERS"):
        await reading.read(away)


@pytest.mark.postgres
async def test_a_whole_check_waits_for_rest_and_reads_everything(
    topics: Topics, sources: Sources
) -> None:
    await publish(topics, "customers.v1", b"somebody")
    looks: list[Moving] = []

    restless = await check(sources, deadline=timedelta(seconds=1), progress=looks.append)
    await take_all(topics, "notification-service", "customers.v1")
    rested = await check(sources, deadline=timedelta(minutes=1), progress=looks.append)

    assert [finding.id for finding in rested.findings] == [f"I{number}" for number in range(1, 12)]
    # nothing of the shop's history was published under this test's prefix
    assert [finding.id for finding in rested.findings if not finding.holds] == ["I9"]
    assert [finding.id for finding in restless.findings if not finding.holds] == ["I9", "I11"]
    assert (looks[0].lag, looks[-1].lag, looks[-1].settled) == (1, 0, 3)


@pytest.mark.postgres
async def test_a_database_that_is_not_migrated_is_named(
    sources: Sources,
) -> None:
    await _expect_database_error(sources, sources.database_url.rpartition("/")[0] + "/postgres")
    await _expect_database_error(sources, "postgresql://nobody:secret@127.0.0.1:9/none")


async def _expect_database_error(sources: Sources, dsn: str) -> None:
    elsewhere = Sources(dsn, sources.kafka, sources.ledger, sources.mail)
    with pytest.raises(SourceError, match="DATABASE_URL") as failed:
        await check(elsewhere, deadline=timedelta())
    assert "secret" not in str(failed.value)
