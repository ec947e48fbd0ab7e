"""FastStream on Kafka, the textbook way: one message, one transaction, and a polling outbox.

order-placed → stock-reserved → payment-captured → order-completed, each told through the outbox.
Keys of the tables make a repeated message harmless; offsets are committed after the handler.
`python faststream_kafka.py setup | work | submit …`
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import shop
import topics
import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from outside import Declined, Outside
from shop import Order
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from topics import PREFIX
from typing_extensions import TypedDict

EVENTS = ("order-placed", "stock-reserved", "payment-captured", "order-completed")
RELAY_BATCH = 200
RELAY_REST = 0.02
"""Seconds until an outbox that was empty is looked at again."""

OUTBOX = "CREATE TABLE outbox (id bigserial PRIMARY KEY, topic text, key text, payload bytea)"
ANNOUNCE = text("INSERT INTO outbox (topic, key, payload) VALUES (:topic, :key, :payload)")
PENDING = text("SELECT * FROM outbox ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED")
DELETE = text("DELETE FROM outbox WHERE id = ANY(:ids)")
STATEMENTS = {
    name: text(getattr(shop, name))
    for name in "PLACE LOCK TAKE RELEASE PAID COMPLETE REJECT".split()
}

engine = create_async_engine(
    shop.DATABASE_URL.replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=4 * shop.CONCURRENCY + 2,
    max_overflow=0,
)
broker = KafkaBroker(topics.KAFKA, acks="all", logger=None)
outside = Outside()


class Event(TypedDict):
    """What every message says: the order itself, so that nobody has to ask."""

    order_id: str
    email: str
    skus: list[str]
    quantities: list[int]
    amount: int


def hears(topic: str) -> Callable[..., Any]:
    """Subscribe one handler with as many consumers as it has workers, each at least once."""
    return broker.subscriber(
        PREFIX + topic,
        group_id=f"{PREFIX}{topic}-handler",
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        max_workers=shop.CONCURRENCY,
    )


async def announce(db: AsyncConnection, topic: str, order: Order) -> None:
    """Say it in the transaction of what happened."""
    payload = orjson.dumps(order.row)
    await db.execute(ANNOUNCE, {"topic": topic, "key": order.order_id, "payload": payload})


@hears("order-placed")
async def reserve(event: Event) -> None:
    order = Order(**event)
    async with engine.begin() as db:
        rows = await db.execute(STATEMENTS["LOCK"], order.row)
        if order.covered_by({row.sku: row.available for row in rows}):
            await db.execute(STATEMENTS["TAKE"], order.row)
            await announce(db, "stock-reserved", order)
        else:
            await db.execute(STATEMENTS["REJECT"], order.row)


@hears("stock-reserved")
async def charge(event: Event) -> None:
    order = Order(**event)
    try:
        intent = await outside.charge(order)
    except Declined:
        async with engine.begin() as db:
            await db.execute(STATEMENTS["RELEASE"], order.row)
            await db.execute(STATEMENTS["REJECT"], order.row)
        return
    async with engine.begin() as db:
        await db.execute(STATEMENTS["PAID"], order.row | {"intent": intent})
        await announce(db, "payment-captured", order)


@hears("payment-captured")
async def complete(event: Event) -> None:
    order = Order(**event)
    async with engine.begin() as db:
        await db.execute(STATEMENTS["COMPLETE"], order.row)
        await announce(db, "order-completed", order)


@hears("order-completed")
async def notify(event: Event) -> None:
    await outside.send(Order(**event))


async def relay() -> None:
    """Publish what is in the outbox, and delete it after the broker has it."""
    while True:
        async with engine.begin() as db:
            rows = (await db.execute(PENDING, {"limit": RELAY_BATCH})).all()
            sends = (
                broker.publish(row.payload, PREFIX + row.topic, key=row.key.encode())
                for row in rows
            )
            await asyncio.gather(*sends)
            if rows:
                await db.execute(DELETE, {"ids": [row.id for row in rows]})
        if len(rows) < RELAY_BATCH:
            await asyncio.sleep(RELAY_REST)


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    async with outside:
        relaying = asyncio.create_task(relay())
        yield
        relaying.cancel()
        with suppress(asyncio.CancelledError):
            await relaying


async def accept(order: Order) -> None:
    async with engine.begin() as db:
        await db.execute(STATEMENTS["PLACE"], order.row)
        await announce(db, "order-placed", order)


async def setup() -> None:
    async with engine.begin() as db:
        await db.execute(text(OUTBOX))
    await topics.create(EVENTS)


if __name__ == "__main__":
    match sys.argv[1]:
        case "setup":
            uvloop.run(setup())
        case "work":
            uvloop.run(FastStream(broker, lifespan=lifespan).run())
        case _:
            uvloop.run(shop.submit(accept))
