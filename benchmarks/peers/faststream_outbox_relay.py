"""faststream-outbox as a relay to Kafka: its subscriber under a Kafka publisher, a row a call.

It has no place for a key: here a header carries it. Only a single worker keeps the order of keys.
`python faststream_outbox_relay.py setup | work`
"""

import sys

import shop
import topics
import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaResponse
from faststream_outbox import OutboxBroker, make_outbox_table, outbox_autovacuum_ddl
from faststream_outbox.annotations import OutboxMessage
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

QUEUE, KEY = "events", "key"
BATCH = 500
"""Rows of one claim, far fewer than are relayed within the lease of a minute."""
FLUSH = 100
"""Rows of one deletion, as in its documentation."""
FILL = f"""CREATE FUNCTION fill() RETURNS void BEGIN ATOMIC
    INSERT INTO outbox (queue, payload, headers)
    SELECT '{QUEUE}', payload, headers || jsonb_build_object('{KEY}', key)
    FROM waiting ORDER BY number;
END"""  # noqa: S608  our own words

engine = create_async_engine(
    shop.DATABASE_URL.replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=shop.CONCURRENCY + 1,
    max_overflow=0,
)
tables = MetaData()
outbox = OutboxBroker(engine, outbox_table=make_outbox_table(tables), logger=None)
kafka = KafkaBroker(topics.KAFKA, acks="all", enable_idempotence=True, logger=None)
publisher = kafka.publisher(topics.PREFIX + topics.EVENTS)


@publisher
@outbox.subscriber(
    QUEUE,
    max_workers=shop.CONCURRENCY,
    fetch_batch_size=BATCH,
    min_fetch_interval=0.05,
    max_fetch_interval=1.0,
    terminal_flush_batch_size=FLUSH,
)
async def relay(body: bytes, message: OutboxMessage) -> KafkaResponse:
    headers = dict(message.headers)
    return KafkaResponse(body, key=headers.pop(KEY).encode(), headers=headers)


async def setup() -> None:
    async with engine.begin() as db:
        await db.run_sync(tables.create_all)
        await db.execute(text(outbox_autovacuum_ddl()))
        await db.execute(text(FILL))
    await topics.create([topics.EVENTS])


async def work() -> None:
    await FastStream(outbox, on_startup=[kafka.connect], after_shutdown=[kafka.stop]).run()


if __name__ == "__main__":
    uvloop.run({"setup": setup, "work": work}[sys.argv[1]]())
