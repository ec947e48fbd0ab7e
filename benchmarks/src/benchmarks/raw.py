"""What aiokafka does by itself, as a process of its own: `python -m benchmarks.raw send|take …`.

The least that a relay and a consumer have to do, with the settings that the suite uses.
"""

import argparse
import asyncio
import io
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import asyncpg
import fastavro
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.partitioner import murmur2
from common import avro

from benchmarks import waiting
from benchmarks.driver import LoadError
from benchmarks.figures import Values
from benchmarks.waiting import Event

MAX_BATCH_BYTES = 512 * 1024
MAX_RECORDS = 500


async def call(command: str, *arguments: object) -> Values:
    """Run one of the commands below and return its figures."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.raw", command, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    if child.returncode:
        message = f"benchmarks.raw {command} ended with {child.returncode}"
        raise LoadError(message)
    figures: dict[str, float] = json.loads(output)
    return figures


async def send(bootstrap: str, topic: str, events: Sequence[Event]) -> None:
    """Fill each partition's batches, and send the next one when the last is acknowledged."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        max_batch_size=MAX_BATCH_BYTES,
        linger_ms=0,
    )
    await producer.start()
    try:
        partitions = len(await producer.partitions_for(topic))
        lanes: defaultdict[int, list[Event]] = defaultdict(list)
        for event in events:
            lanes[(murmur2(event.key) & 0x7FFFFFFF) % partitions].append(event)
        async with asyncio.TaskGroup() as group:
            for partition, lane in lanes.items():
                group.create_task(_send_lane(producer, topic, partition, lane))
    finally:
        await producer.stop()


async def _send_lane(
    producer: AIOKafkaProducer, topic: str, partition: int, lane: Sequence[Event]
) -> None:
    waits = iter(lane)
    event = next(waits, None)
    while event is not None:
        batch = producer.create_batch()
        while event is not None and batch.append(
            timestamp=None, key=event.key, value=event.payload, headers=event.headers
        ):
            event = next(waits, None)
        await (await producer.send_batch(batch, topic, partition=partition))


async def take(bootstrap: str, topic: str, database_url: str, count: int) -> float:
    """Read and decode so many; a transaction that does nothing, and the offsets, a batch."""
    schemas = {number: schema for number, (_, schema) in avro.contract().by_id.items()}
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"raw-{time.time_ns()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    database = await asyncpg.connect(database_url)
    await consumer.start()
    try:
        seen, began = 0, 0.0
        while seen < count:
            batches = await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)
            records = [record for lane in batches.values() for record in lane]
            began = began or time.perf_counter()
            for record in records:
                body = io.BytesIO(record.value[5:])
                schema = schemas[int.from_bytes(record.value[1:5])]
                fastavro.schemaless_reader(body, schema, None)
                dict(record.headers)
            async with database.transaction():
                await database.execute("SELECT 1")
            await consumer.commit()
            seen += len(records)
        return seen / (time.perf_counter() - began)
    finally:
        await consumer.stop()
        await database.close()


async def _run(given: argparse.Namespace) -> Values:
    if given.command == "take":
        used = time.process_time()
        rate = await take(given.bootstrap, given.topic, given.database_url, given.events)
        return {"events/s": rate, "CPU us": (time.process_time() - used) / given.events * 1e6}
    events = list(waiting.events(given.events, given.kind, per_key=given.per_key))
    used, began = time.process_time(), time.perf_counter()
    await send(given.bootstrap, given.topic, events)
    rate = len(events) / (time.perf_counter() - began)
    return {"events/s": rate, "CPU us": (time.process_time() - used) / len(events) * 1e6}


def main() -> None:
    """Do what the command line says and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raw", description=__doc__)
    parser.add_argument("command", choices=("send", "take"))
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("events", type=int)
    parser.add_argument("--kind", default=waiting.PLACED)
    parser.add_argument("--per-key", type=int, default=1)
    parser.add_argument("--database-url", default="")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_run(given))))


if __name__ == "__main__":
    main()
