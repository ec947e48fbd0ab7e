"""The loop that carries outbox rows to Kafka, in order per key.

Rows are deleted when the broker has acknowledged them: a row's presence is the truth, never a
position. The floor only spares the scan over rows that are dead and not yet vacuumed.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnsupportedForMessageFormatError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from common import outbox, telemetry
from common.broker import abandon, client_options
from common.database import Database, failures_named
from common.errors import Contended, Unavailable
from common.failpoint import failpoint
from common.floor import WRITERS, Floor
from common.settings import KafkaSettings

_LIMIT = 500
"""Rows of one read: enough to fill a request to each partition, short enough to stay fresh."""
_MAX_BATCH_BYTES = 512 * 1024
"""aiokafka sends one batch per partition per request, so large ones; the broker takes 1 MiB."""
_WORTH_COMPRESSING = 32
"""Rows of a batch. A smaller one costs more to pack and unpack, here and at the broker and each
consumer, than it saves: at one row it doubled the CPU time of producing.
"""
_BUSY_POLL, _REST_POLL, _DEAF_POLL = 0.01, 1.0, 0.25
"""Seconds: what another process appended is seen soon while there is work, cheaply at rest.

Each empty read doubles the wait, from the first to the second; or to the third, where all that is
announced comes from other processes and no bell tells of it.
"""
_PATIENCE, _MOST_PATIENCE = 2.0, 0.025
"""The next read waits for so many times as long as the last round took, at most so many seconds:
rounds grow where the machine is busy, and each row costs less."""
_STOP_TIMEOUT = 5.0
"""Seconds for a producer to send what it has."""
_UPKEEP = 2.0
"""Seconds between looks for free shards, freed keys and the size of the outbox."""
_LOOK_AT_WRITERS = 4
"""Rounds between looks at who may still commit below the floor."""
_REFUSED_FOR_GOOD = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    UnsupportedForMessageFormatError,
)

_TURN = """
WITH gone AS (DELETE FROM outbox WHERE id = ANY($5::bigint[]))
SELECT id, topic, aggregateid, payload, header_names, header_values, created_at
  FROM outbox
 WHERE id > $1 AND shard = ANY($2::smallint[]) AND refused IS NULL
   AND (aggregateid IS NULL OR aggregateid <> ALL($3::bytea[]) OR id < $6)
   AND id NOT IN (SELECT unnest($5::bigint[]))
 ORDER BY id LIMIT $4
"""
"""Delete what is acknowledged and read on, in one exchange.

The statement still sees what it deletes, and a hashed NOT IN leaves that out at any size.
"""

_DELETE = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"

_log = telemetry.get_logger()


@dataclass
class _Owned:
    """What lives and dies with one database connection: its locks, and what is known under them."""

    connection: asyncpg.Connection[asyncpg.Record]
    shards: set[int] = field(default_factory=set)
    acknowledged: list[int] = field(default_factory=list)
    """ids that the next turn deletes"""
    floor: Floor = field(default_factory=Floor)
    highest: int = 0
    """The highest id that was carried"""
    rounds: int = 0
    blocked: dict[bytes, int] = field(default_factory=dict)
    """key → its first refused id; the key's later rows wait behind it"""
    upkeep_at: float = 0.0


class Relay:
    """Carries the rows of the shards it owns; another process's relay carries the rest."""

    def __init__(self, database: Database, kafka: KafkaSettings) -> None:
        self._rest_poll = _REST_POLL
        self._database = database
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until told to stop; then on, until what was announced before is also sent.

        What others announce meanwhile is theirs to wait for: there may always be some.
        """
        try:
            await self._carry_until(stop)
        finally:
            await self._drop_producer()

    def expect_no_bell(self) -> None:
        """Look more often: nothing in this process announces anything."""
        self._rest_poll = _DEAF_POLL

    async def _carry_until(self, stop: asyncio.Event) -> None:
        wait = 0.1
        while not stop.is_set():
            try:
                await self._own_and_carry(stop)
            except (Unavailable, Contended, KafkaError, OSError) as error:
                _log.warning("relay waits", reason=type(error).__name__, error=str(error))
            except Exception:  # a bug must not end the relay for good: rows would wait for ever
                _log.exception("relay failed, beginning again")
            else:
                wait = 0.1
                continue
            await self._drop_producer()
            await self._database.bell(outbox.BELL).wait(wait)
            wait = min(wait * 2, 5.0)

    async def _own_and_carry(self, stop: asyncio.Event) -> None:
        owned = _Owned(await self._database.connect_direct())
        loop = asyncio.get_running_loop()
        wait = _BUSY_POLL
        try:
            with failures_named():
                while True:
                    if loop.time() >= owned.upkeep_at:
                        await self._keep_up(owned)
                        owned.upkeep_at = loop.time() + _UPKEEP
                    began, last = loop.time(), stop.is_set()
                    carried = await self._carry(owned)
                    took = loop.time() - began
                    if last and carried < _LIMIT:
                        await owned.connection.execute(_DELETE, owned.acknowledged)
                        return
                    wait = _BUSY_POLL if carried else min(wait * 2, self._rest_poll)
                    if carried < _LIMIT:
                        await asyncio.sleep(min(_MOST_PATIENCE, _PATIENCE * took) if carried else 0)
                        await self._database.bell(outbox.BELL).wait(wait)
        finally:
            telemetry.OUTBOX_LEADER.set(0)
            owned.connection.terminate()

    async def _keep_up(self, owned: _Owned) -> None:
        """Take shards that nobody owns, see which keys are refused, and measure what waits."""
        await self._take_free_shards(owned)
        refused = await owned.connection.fetch(
            "SELECT aggregateid, min(id) AS id FROM outbox WHERE refused IS NOT NULL GROUP BY 1"
        )
        owned.blocked = {row["aggregateid"] or b"": row["id"] for row in refused}
        telemetry.OUTBOX_LEADER.set(len(owned.shards))
        await self._measure(owned)

    async def _take_free_shards(self, owned: _Owned) -> None:
        if len(owned.shards) == outbox.SHARDS:
            return
        rows = await owned.connection.fetch(
            """
            SELECT shard FROM generate_series(0, $1 - 1) AS shard
             WHERE shard <> ALL($2::int[])
               AND pg_try_advisory_lock(hashtext(current_schema || '.outbox'), shard)
            """,
            outbox.SHARDS,
            list(owned.shards),
        )
        if rows:
            owned.shards |= {row["shard"] for row in rows}
            owned.floor = Floor()  # it was found without these shards' rows
            _log.info("relay owns shards", count=len(owned.shards))

    async def _measure(self, owned: _Owned) -> None:
        row = await owned.connection.fetchrow(
            """
            SELECT count(*) AS pending, extract(epoch FROM now() - min(created_at))::float AS age
              FROM (SELECT created_at FROM outbox WHERE id > $1 ORDER BY id LIMIT 10000) AS o
            """,
            owned.floor.value,
        )
        telemetry.OUTBOX_PENDING.set(row["pending"] if row else 0)
        telemetry.OUTBOX_OLDEST.set((row["age"] if row else None) or 0.0)

    async def _carry(self, owned: _Owned) -> int:
        """Read, produce, await every acknowledgement: a round, whose rows the next one deletes."""
        if not owned.shards:
            return 0
        rows = await self._turn(owned)
        if rows:
            failpoint("relay.read")
            done, refused = await self._produce(rows)
            failpoint("relay.acknowledged")
            owned.acknowledged = [row["id"] for row in done]
            _report(done)
            await self._refuse(owned, refused)
        await self._look_at_writers(owned)
        return len(rows)

    async def _turn(self, owned: _Owned) -> list[asyncpg.Record]:
        """Delete what the last round carried, and read what this one will."""
        gone, owned.acknowledged = owned.acknowledged, []
        floor, shards, keys = owned.floor, list(owned.shards), list(owned.blocked)
        refused = min(owned.blocked.values(), default=None)
        rows = await owned.connection.fetch(
            _TURN, floor.value, shards, keys, _LIMIT, gone, refused or 0
        )
        floor.observe(rows[0]["id"] if rows else None, ceiling=refused)
        if gone:
            owned.highest = max(owned.highest, *gone)
            failpoint("relay.deleted")
        return rows

    async def _look_at_writers(self, owned: _Owned) -> None:
        owned.rounds += 1
        if owned.rounds % _LOOK_AT_WRITERS == 0 and owned.floor.value < owned.highest:
            writers = await owned.connection.fetch(WRITERS)
            owned.floor.look(owned.highest, (row["virtualtransaction"] for row in writers))

    async def _refuse(self, owned: _Owned, refused: dict[int, str]) -> None:
        for row_id, reason in refused.items():
            _log.error("broker refuses an event for good, its key waits", reason=reason)
            await owned.connection.execute(
                "UPDATE outbox SET refused = $2 WHERE id = $1", row_id, reason
            )
            owned.upkeep_at = 0.0

    async def _produce(
        self, rows: Sequence[asyncpg.Record]
    ) -> tuple[list[asyncpg.Record], dict[int, str]]:
        """Send each partition's rows in order; answers the acknowledged ones and the refused."""
        producer = await self._ready_producer()
        lanes: dict[tuple[str, int], list[asyncpg.Record]] = defaultdict(list)
        for name in {row["topic"] for row in rows} - self._partitions.keys():
            topic = self._kafka.topic_prefix + name
            self._partitions[name] = len(await producer.partitions_for(topic))
        for row in rows:
            lanes[row["topic"], self._partition(row["topic"], row["aggregateid"])].append(row)
        results = await asyncio.gather(
            *(self._send_lane(producer, *lane, rows) for lane, rows in lanes.items())
        )
        done = [row for acknowledged, _ in results for row in acknowledged]
        return done, {id_: why for _, refused in results for id_, why in refused.items()}

    def _partition(self, topic: str, key: bytes | None) -> int:
        return outbox.key_hash(key) % self._partitions[topic] if key is not None else 0

    async def _send_lane(
        self, producer: AIOKafkaProducer, topic: str, partition: int, rows: list[asyncpg.Record]
    ) -> tuple[list[asyncpg.Record], dict[int, str]]:
        """Send one partition's rows: the next batch leaves after the one before is acknowledged."""
        topic = self._kafka.topic_prefix + topic
        done: list[asyncpg.Record] = []
        refused: dict[int, str] = {}
        refused_keys: set[bytes | None] = set()
        size = len(rows)
        while rows:
            packed = min(size, len(rows)) >= _WORTH_COMPRESSING
            codec = DefaultRecordBatch.CODEC_ZSTD if packed else DefaultRecordBatch.CODEC_NONE
            batch = BatchBuilder(_MAX_BATCH_BYTES, codec)
            count = 0
            for row in rows[:size]:
                if not _append(batch, row):
                    break
                count += 1
            try:
                await (await producer.send_batch(batch, topic, partition=partition))
            except _REFUSED_FOR_GOOD as error:
                if count > 1:
                    size = 1  # one of these: find out which
                    continue
                refused[rows[0]["id"]] = type(error).__name__
                refused_keys.add(rows[0]["aggregateid"])
                rows = [row for row in rows if row["aggregateid"] not in refused_keys]
                continue
            done += rows[:count]
            rows = rows[count:]
        return done, refused

    async def _ready_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **client_options(self._kafka),
                acks="all",
                enable_idempotence=True,
                max_batch_size=_MAX_BATCH_BYTES,
                linger_ms=0,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _drop_producer(self) -> None:
        """Give the producer up: a time-out leaves the outcome unknown.

        aiokafka's idempotent producer may also stay stuck (its #1017). A new one sends the rows
        again; duplicates are the inbox's job.
        """
        producer, self._producer = self._producer, None
        self._partitions.clear()
        if producer is not None:
            try:
                async with asyncio.timeout(_STOP_TIMEOUT):
                    await producer.stop()
            except (TimeoutError, KafkaError) as error:
                _log.warning("producer did not stop", reason=type(error).__name__)
                await abandon(producer, _STOP_TIMEOUT)


def _append(batch: BatchBuilder, row: asyncpg.Record) -> bool:
    headers = [
        (_usual_text(name) if len(name) <= _USUAL else _as_text(name), value)
        for name, value in zip(row["header_names"], row["header_values"], strict=True)
    ]
    metadata = batch.append(
        timestamp=None, key=row["aggregateid"], value=row["payload"], headers=headers
    )
    return metadata is not None


def _as_text(name: bytes) -> str:
    """Decode a header's name, which aiokafka writes as text, so that it does not get longer.

    What is no UTF-8 becomes a question mark a byte.
    """
    return name.decode(errors="surrogateescape").encode(errors="replace").decode()


_USUAL = 64
"""Bytes of a name that is remembered: ours are a dozen, those of dead letters may be anything."""
_usual_text = lru_cache(maxsize=256)(_as_text)


def _report(carried: Sequence[asyncpg.Record]) -> None:
    now = datetime.now(UTC)
    for topic, count in Counter(row["topic"] for row in carried).items():
        telemetry.OUTBOX_PUBLISHED.labels(topic).inc(count)
    delays = [(now - row["created_at"]).total_seconds() for row in carried]
    telemetry.OUTBOX_DELAY.observe_all(delays)
