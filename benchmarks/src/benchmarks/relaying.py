"""P4: how fast the relay carries a full outbox to the broker, beside aiokafka by itself."""

from collections import defaultdict

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from common import outbox

from benchmarks import raw, waiting
from benchmarks.driver import LoadError
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.rig import Rig
from benchmarks.side import Side, drain, side

COLUMNS = (
    "event_id shard topic aggregatetype aggregateid type payload header_names header_values".split()
)

ROW = Row(
    "P4",
    "relay drains a full outbox",
    {
        "events/s": Aim(15_000, at_least=True),
        "relay : raw send_batch": Aim(0.5, at_least=True),
    },
)


async def measure(rig: Rig, size: Size) -> Found:
    """Let so many rows appear at once; then send the same bytes from memory."""
    async with side(rig, "p4") as other:
        topic = other.prefix + waiting.TOPIC
        consumer = AIOKafkaConsumer(bootstrap_servers=rig.stack.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = await _partitions(rig.stack.bootstrap, topic)

            async def sent() -> int:
                return sum((await consumer.end_offsets(partitions)).values())

            await other.deployment.start_beside("order", "relay")
            await _fill(other, size.events)
            relayed = await drain(rig, sent, size.events)
            await other.deployment.stop("order")
            await _verify(consumer, partitions, size.events)
        finally:
            await consumer.stop()
        per_key = ("--per-key", waiting.PER_KEY)
        alone = await raw.call("send", rig.stack.bootstrap, topic, size.events, *per_key)
    relay = relayed.cpu_us[f"{other.prefix}order-relay"]
    return {
        ROW.id: {
            "events/s": relayed.rate,
            "relay : raw send_batch": relayed.rate / alone["events/s"],
            "raw send_batch events/s": alone["events/s"],
            "CPU us an event, relay": relay,
            "CPU us an event, postgres": relayed.cpu_us["postgres"],
            "CPU us an event, kafka": relayed.cpu_us["kafka"],
            "CPU us an event, raw send_batch": alone["CPU us"],
        }
    }


async def _fill(other: Side, count: int) -> None:
    """Have all of them committed at once."""
    rows = [
        (
            event.event_id,
            outbox.key_hash(event.key) % outbox.SHARDS,
            waiting.TOPIC,
            "orders",
            event.key,
            waiting.PLACED,
            event.payload,
            [name.encode() for name, _ in event.headers],
            [value for _, value in event.headers],
        )
        for event in waiting.events(count, per_key=waiting.PER_KEY)
    ]
    db = await asyncpg.connect(other.database_url)
    try:
        await db.copy_records_to_table(
            "outbox", schema_name="orders", columns=COLUMNS, records=rows
        )
    finally:
        await db.close()


async def _partitions(bootstrap: str, topic: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return [TopicPartition(topic, each["partition"]) for each in described["partitions"]]


async def _verify(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], count: int) -> None:
    """Read back: every event once, and those of one key in their order."""
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    numbers: defaultdict[bytes, list[int]] = defaultdict(list)
    left = count
    while left > 0:
        batches = await consumer.getmany(timeout_ms=5000, max_records=5000)
        if not batches:
            message = f"{left} of {count} events are not in the topic"
            raise LoadError(message)
        for record in (record for records in batches.values() for record in records):
            numbers[record.key].append(int(dict(record.headers)["ce_version"]))
            left -= 1
    once = {number for each in numbers.values() for number in each}
    if len(once) != count or any(each != sorted(each) for each in numbers.values()):
        message = "an event came twice, or before an earlier one of its key"
        raise LoadError(message)
