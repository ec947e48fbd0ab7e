"""Watches `orders.v1` as anybody else could, and notes when each order got where."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection

from aiokafka import AIOKafkaConsumer

TOPIC = "orders.v1"


class Observer:
    """What was seen so far; times are this process's `time.perf_counter()`, in seconds."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        """Watch with a consumer that has started."""
        self.seen: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """Event type → order → when its event arrived here."""
        self._consumer = consumer
        self._news = asyncio.Event()

    async def wait(self, event: str, orders: Collection[str], *, seconds: float) -> float:
        """Return when the last of these orders got there; raises TimeoutError."""
        seen = self.seen[event]
        async with asyncio.timeout(seconds):
            while not seen.keys() >= set(orders):
                self._news.clear()
                await self._news.wait()
        return max(seen[order] for order in orders)

    async def watch(self) -> None:
        """Take what comes, for ever."""
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000)
            now = time.perf_counter()
            for record in (record for records in batches.values() for record in records):
                kind = dict(record.headers)["ce_type"].decode()
                self.seen[kind][record.key.decode()] = now
            self._news.set()


@contextlib.asynccontextmanager
async def observe(bootstrap: str) -> AsyncIterator[Observer]:
    """Watch from now on."""
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    observer = Observer(consumer)
    try:
        await consumer.seek_to_end()
        watching = asyncio.create_task(observer.watch())
        yield observer
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    finally:
        await consumer.stop()
