"""Records of every bad kind into every topic, while good orders flow: each is accounted for."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from devstack.topology import SERVICES
from invariants import topics as broker
from invariants.decides import HEARD, SCHEMAS, STATE_TOPICS
from invariants.sources import Sources

from tests.support.fuzz import STATES, Fuzzed, fuzzed
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from devstack.deployment import Deployment
    from devstack.stack import Stack

    from tests.saga.conftest import Town
    from tests.support.kafka import Topics
    from tests.support.postgres import Databases

RECORDS = int(os.environ.get("FUZZ_RECORDS", "10000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
PATIENCE = 30 + RECORDS / 100
MEGABYTES_MORE = 50
CHUNK = 1000
BUYERS = 4
STOCK = 1_000_000

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120 + 2 * PATIENCE)]

Place: TypeAlias = tuple[str, int, int]
Waiting: TypeAlias = dict[Place, tuple[str, bytes | None]]
"""Where a record stands → what it waits as, and its key."""


@pytest_asyncio.fixture(autouse=True)
async def impatient(services: Deployment) -> None:
    """Give up soon on a schema that never comes."""
    for name in SERVICES:
        services.overrides[name] = {
            "RETRY_ATTEMPTS": "2",
            "RETRY_FIRST_DELAY": "50ms",
            "RETRY_MAX_DELAY": "100ms",
        }


async def test_every_fuzzed_record_is_accounted_for(
    town: Town, services: Deployment, topics: Topics, databases: Databases, stack: Stack
) -> None:
    sources = Sources(
        databases.admin_dsn, stack.bootstrap, stack.gateway_ledger, stack.mail_dir, topics.prefix
    )
    await town.fill_shelf(STOCK)
    orders = await _buy(town, 20)  # what a process keeps once it has worked
    before = _memory(services)
    over = asyncio.Event()
    buying = [
        asyncio.create_task(_keep_buying(town, databases.admin_dsn, over)) for _ in range(BUYERS)
    ]

    sent = await _send(topics, fuzzed(SEED, RECORDS))

    await eventually(lambda: _taken(town.db, sent), PATIENCE)  # while orders flow on
    over.set()
    orders += sum(await asyncio.gather(*buying)) + await _buy(town, 1)
    assert await _halted(town.db) == []
    await eventually(lambda: _at_rest(town.db, sources), PATIENCE)
    assert {name: services.runs(name) for name in SERVICES} == dict.fromkeys(SERVICES, True)
    letters = await _letters(topics)
    for group, schema in SCHEMAS.items():
        parked = await _parked(town.db, schema)
        assert _misjudged(group, sent, parked, letters[group]) == Counter(), group
    assert await town.stock() == (STOCK - orders, 0, orders)
    after = _memory(services)
    grown = {name: after[name] - before[name] for name in after}
    print(f"{RECORDS} records of seed {SEED}; megabytes more: {grown}")  # noqa: T201  for who runs it
    assert max(grown.values()) <= MEGABYTES_MORE, grown


async def _buy(town: Town, orders: int) -> int:
    for _ in range(orders):
        assert await town.settled(await town.order(), PATIENCE) == "COMPLETED"
    return orders


async def _keep_buying(town: Town, dsn: str, over: asyncio.Event) -> int:
    db = await asyncpg.connect(dsn)
    mine = replace(town, db=db)
    orders = 0
    try:
        while not over.is_set():
            orders += await _buy(mine, 1)
    finally:
        await db.close()
    return orders


def _memory(services: Deployment) -> dict[str, int]:
    """Read how many megabytes each service holds."""
    status = {name: Path(f"/proc/{services.pid(name)}/status").read_text() for name in SERVICES}
    found = {name: re.search(r"VmRSS:\s+(\d+) kB", text) for name, text in status.items()}
    return {name: int(match[1]) // 1024 for name, match in found.items() if match}


async def _send(topics: Topics, records: Iterable[Fuzzed]) -> dict[Place, Fuzzed]:
    """Send everything; answers where each record stands now."""
    producer = AIOKafkaProducer(
        bootstrap_servers=topics.bootstrap, max_request_size=2_000_000, linger_ms=5
    )
    await producer.start()
    sent: dict[Place, Fuzzed] = {}
    try:
        waiting: list[tuple[Fuzzed, asyncio.Future[object]]] = []
        for record in records:
            headers = list(record.headers.items())
            name = topics.name(record.topic)
            waiting.append(
                (record, await producer.send(name, record.value, record.key, headers=headers))
            )
            if len(waiting) == CHUNK:
                sent |= await _acknowledged(waiting)
                waiting.clear()
        return sent | await _acknowledged(waiting)
    finally:
        await producer.stop()


async def _acknowledged(
    waiting: list[tuple[Fuzzed, asyncio.Future[object]]],
) -> dict[Place, Fuzzed]:
    stands = await asyncio.gather(*(future for _, future in waiting))
    return {
        (record.topic, at.partition, at.offset): record
        for (record, _), at in zip(waiting, stands, strict=True)
    }


async def _at_rest(db: asyncpg.Connection[asyncpg.Record], sources: Sources) -> bool:
    """Tell whether nothing waits but states of no known schema."""
    for schema in SCHEMAS.values():
        moving = await db.fetch(
            f"SELECT topic, 'said', count(*) FROM {schema}.outbox GROUP BY 1 UNION ALL "  # noqa: S608
            f"SELECT topic, error, count(*) FROM {schema}.parked"
            " WHERE state = 'retry' AND error_class <> 'behind' AND topic <> ALL($1::text[])"
            " GROUP BY 1, 2",
            list(STATES),
        )
        assert not moving, [schema, *moving]
    await asyncio.sleep(0.5)  # asking costs the broker more than that
    lag = await broker.lag(sources)
    assert not lag, lag
    return True


async def _taken(db: asyncpg.Connection[asyncpg.Record], sent: Iterable[Place]) -> bool:
    """Tell whether every group that hears a topic stands behind all that was sent to it."""
    last: dict[tuple[str, int], int] = {}
    for topic, partition, offset in sent:
        last[topic, partition] = max(offset, last.get((topic, partition), -1))
    for group, schema in SCHEMAS.items():
        rows = await db.fetch(f"SELECT topic, partition, next_offset FROM {schema}.positions")  # noqa: S608
        stands = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        heard = {*HEARD[group], *STATE_TOPICS.get(group, ())}
        behind = {
            place: offset
            for place, offset in last.items()
            if place[0] in heard and stands.get(place, 0) <= offset
        }
        assert not behind, (group, behind)
    return True


async def _halted(db: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    found = [await db.fetch(f"SELECT * FROM {s}.consumer_halts") for s in SCHEMAS.values()]  # noqa: S608
    return [str(row) for rows in found for row in rows]


async def _parked(db: asyncpg.Connection[asyncpg.Record], schema: str) -> Waiting:
    """Read what each place's record waits as; a row without a reason fails."""
    rows = await db.fetch(
        f'SELECT topic, partition, "offset", key, state, error FROM {schema}.parked'  # noqa: S608
    )
    assert all(row["error"] for row in rows)
    places = [(row["topic"], row["partition"], row["offset"]) for row in rows]
    return {place: (row["state"], row["key"]) for place, row in zip(places, rows, strict=True)}


async def _letters(topics: Topics) -> dict[str, Counter[Place]]:
    """Count the dead letters of each place, by group; a letter without a reason fails."""
    return {group: Counter([place async for place in _dead(topics, group)]) for group in HEARD}


async def _dead(topics: Topics, group: str) -> AsyncIterator[Place]:
    consumer = AIOKafkaConsumer(
        topics.name(f"{group}.dlt"),
        bootstrap_servers=topics.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    headers = dict(record.headers)
                    assert headers["kafka_dlt-exception-message"]
                    yield (
                        headers["kafka_dlt-original-topic"].decode(),
                        int(headers["kafka_dlt-original-partition"]),
                        int(headers["kafka_dlt-original-offset"]),
                    )
    finally:
        await consumer.stop()


def _misjudged(
    group: str, sent: dict[Place, Fuzzed], parked: Waiting, letters: Counter[Place]
) -> Counter[str]:
    """Count, by kind, the records that met another fate than the generator says."""
    wrong: Counter[str] = Counter()
    for place, record in sent.items():
        fate = (parked.get(place, (None,))[0], letters[place])
        if fate not in _fates(group, record):
            wrong[f"{record.kind} in {record.topic}: {fate}"] += 1
    wild = {record.key for record in sent.values() if record.readable}
    strays = {place for place, (_, key) in parked.items() if key not in wild} - sent.keys()
    strays |= letters.keys() - sent.keys() - parked.keys()
    wrong.update(f"a good record: {place}" for place in strays)
    return wrong


def _fates(group: str, record: Fuzzed) -> set[tuple[str | None, int]]:
    """Say how a record may wait, and how many dead letters it may have."""
    if record.readable:
        parked = ("retry", 0) if record.topic in STATES else ("dead", 1)
        return {(None, 0), ("skipped", 1), parked}
    if group in record.poison:
        return {("skipped", 1)}
    if group in record.skewed:
        return {("retry", 0)} if record.topic in STATES else {("dead", 1)}
    return {(None, 0)}
