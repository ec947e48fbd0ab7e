"""Messages that can't be decided, by what is in them or by a bug; and replaying them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from devstack.topology import SERVICES

from chaos.fault import Injection
from chaos.faults.processes import fired, planned
from chaos.town import ChaosError, Town, until

EVENT_TOPICS = ("orders.v1", "inventory.v1", "payments.v1")
_MEGABYTE = 900_000
"""Bytes: just below what the broker takes."""
_SOME_KEYS = "f"
"""Every sixteenth order's id ends so."""
_RAISED = 60
"""Fewer failures than would halt a consumer as a flood."""
_WATCH = 30.0
Headers = Sequence[tuple[str, bytes]]


async def poison(town: Town, injection: Injection) -> int:
    """Write what nobody can decide on between real events; answers how many records."""
    real = await _last_record(town, injection.target)
    producer = AIOKafkaProducer(bootstrap_servers=town.stack.bootstrap)
    await producer.start()
    try:
        spoilt = _spoilt(*real)
        for key, value, headers in spoilt:
            await producer.send_and_wait(injection.target, value, key=key, headers=list(headers))
            await asyncio.sleep(injection.seconds / len(spoilt))
    finally:
        await producer.stop()
    return len(spoilt)


def _spoilt(
    key: bytes, value: bytes, headers: Headers
) -> list[tuple[bytes | None, bytes | None, Headers]]:
    unknown = value[:1] + b"\x7f\xff\xff\xff" + value[5:]
    return [
        (key, value[:-3], headers),
        (key, unknown, headers),
        (key, b"\x00" + bytes(range(200)), headers),
        (key, None, headers),
        (None, value, headers),
        (b"\xff\xfe", value, headers),
        (key, value, [(name, b"\xff\xff") for name, _ in headers]),
        (key, value, ()),
        (key, b"x" * _MEGABYTE, headers),
        (key, value, [*headers, ("ce_source", b"/somebody-else")]),
    ]


async def _last_record(town: Town, topic: str) -> tuple[bytes, bytes, Headers]:
    """Read a real event from the end of a topic."""
    async with _reader(town) as consumer:
        parts = [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic) or ()]
        ends = await consumer.end_offsets(parts)
        fullest = max(parts, key=lambda part: ends[part])
        consumer.assign([fullest])
        for offset in range(ends[fullest] - 1, -1, -1):
            consumer.seek(fullest, offset)
            record = await asyncio.wait_for(consumer.getone(fullest), _WATCH)
            if record.key and record.value and any(name == "ce_id" for name, _ in record.headers):
                return record.key, record.value, record.headers
    message = f"{topic} holds no event to spoil"
    raise ChaosError(message)


@contextlib.asynccontextmanager
async def _reader(town: Town) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(*EVENT_TOPICS, bootstrap_servers=town.stack.bootstrap)
    await consumer.start()
    consumer.unsubscribe()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def bug(town: Town, injection: Injection) -> int:
    """Let decisions on some keys fail, mend it, and replay what died of it."""
    plan = f"deciding.folding=raise*{_RAISED}@{_SOME_KEYS}"
    async with planned(town, injection, plan) as log:
        await asyncio.sleep(injection.seconds)
    await replay(town, ("dead",))
    return fired(log).total()


async def replay_meanwhile(town: Town, injection: Injection) -> int:
    """Let messages die, and replay them twice and at once, while the bug and the load go on."""
    plan = f"deciding.folding=raise*{_RAISED}@{_SOME_KEYS}"
    rounds = max(1, int(injection.seconds))
    async with planned(town, injection, plan) as log:

        async def failed() -> bool:
            return fired(log).total() > 0

        await until(failed, _WATCH, f"a decision of {injection.target} fails")
        for _ in range(rounds):
            await asyncio.gather(*(replay(town, ("dead", "skipped")) for _ in range(2)))
            await asyncio.sleep(1)
    await asyncio.gather(*(replay(town, ("dead", "skipped")) for _ in range(2)))
    return rounds * 2 + 2


async def replay(town: Town, states: Sequence[str]) -> None:
    """Have every service try again what it has set aside."""
    async with town.database() as db:
        for service in SERVICES.values():
            await db.execute(
                f"UPDATE {service.schema}.parked SET state = 'retry', attempt = 0,"  # noqa: S608  our own schemas
                " next_at = now() WHERE state = ANY($1::text[])",
                list(states),
            )
