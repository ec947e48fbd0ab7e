"""A till to which no record comes although some wait: a process, since it must end itself."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import till
from aiokafka import AIOKafkaConsumer
from common.consumer import Consumer
from common.database import Database
from common.partitions import Partitions
from common.settings import KafkaSettings, PostgresSettings
from pydantic import SecretStr
from typing_extensions import override


class Paused(Partitions):
    """Consumes nothing, as aiokafka may after a restart of the broker."""

    @override
    async def admit(self, client: AIOKafkaConsumer) -> None:
        await super().admit(client)
        client.pause(*client.assignment())


class WithoutFetcher(Partitions):
    """Consumes nothing, as aiokafka does once its fetcher met an error that it doesn't expect."""

    @override
    async def admit(self, client: AIOKafkaConsumer) -> None:
        if not client._fetcher._fetch_task.done():
            client._fetcher._fetch_task.cancel()
            client._coordinator.request_rejoin()  # nobody finds out where the partitions stand
        await super().admit(client)


async def main(kind: str, dsn: str, bootstrap: str, prefix: str) -> None:
    """Consume for as long as the watchdog lets us."""
    settings = PostgresSettings(database_url=SecretStr(dsn), db_schema="inventory")
    kafka = KafkaSettings(
        kafka_bootstrap_servers=bootstrap,
        topic_prefix=prefix,
        consumer_watchdog=timedelta(seconds=1),
    )
    database = Database(settings, name="till")
    till_consumer = Consumer(till.subscription(), database=database, kafka=kafka)
    stuck = {"paused": Paused, "without fetcher": WithoutFetcher}[kind]
    till_consumer.partitions = stuck(till_consumer._offsets, database=database, topic_prefix=prefix)
    await till_consumer.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
