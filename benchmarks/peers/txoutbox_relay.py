"""txoutbox as a relay to Kafka: rows are leased, published in order of their keys, and deleted.

`python txoutbox_relay.py setup | work`
"""

import sys

import asyncpg
import shop
import topics
import uvloop
from aiokafka import AIOKafkaProducer
from txoutbox import OutboxMessage, Relay, RelayConfig
from txoutbox.adapters.postgres import PostgresStorage

BATCH = 4 * shop.CONCURRENCY
"""Rows of a round, so that as many keys as may be are on their way at once."""
FILL = f"""CREATE FUNCTION fill() RETURNS void BEGIN ATOMIC
    INSERT INTO outbox (topic, key, payload, headers)
    SELECT '{topics.PREFIX}{topics.EVENTS}', key, payload, headers FROM waiting ORDER BY number;
END"""  # noqa: S608  our own words


async def setup() -> None:
    async with asyncpg.create_pool(shop.DATABASE_URL, min_size=1) as pool:
        await PostgresStorage(pool).create_schema()
        await pool.execute(FILL)
    await topics.create([topics.EVENTS])


async def work() -> None:
    async with (
        asyncpg.create_pool(shop.DATABASE_URL, min_size=2) as pool,
        AIOKafkaProducer(
            bootstrap_servers=topics.KAFKA, acks="all", enable_idempotence=True
        ) as producer,
    ):

        async def publish(message: OutboxMessage) -> None:
            await producer.send_and_wait(
                message.topic,
                message.payload,
                key=message.key.encode() if message.key else None,
                headers=[(name, value.encode()) for name, value in message.headers.items()],
            )

        storage = PostgresStorage(pool, delete_on_ack=True)
        config = RelayConfig(batch_size=BATCH, concurrency=shop.CONCURRENCY, poll_max=1.0)
        await Relay(storage, publish, config=config).run(handle_signals=True)


if __name__ == "__main__":
    uvloop.run({"setup": setup, "work": work}[sys.argv[1]]())
