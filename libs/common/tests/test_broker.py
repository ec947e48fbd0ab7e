"""A connection that breaks in the moment of its next request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from common.broker import client_options
from common.settings import KafkaSettings

if TYPE_CHECKING:
    from devstack.stack import Stack

pytestmark = pytest.mark.kafka


def test_a_broken_connection_says_so_at_every_turn_of_the_loop(stack: Stack) -> None:
    options = client_options(KafkaSettings(kafka_bootstrap_servers=stack.bootstrap))

    async def asked_after(turns: int) -> None:
        async with AIOKafkaProducer(**options) as producer:
            await producer.client.force_metadata_update()
            [connection] = producer.client._conns.values()
            connection._writer.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)
            with pytest.raises(KafkaConnectionError):
                await connection.send(MetadataRequest([]))

    async def ask() -> None:
        for turns in range(5):
            await asked_after(turns)

    uvloop.run(ask())


async def test_a_broker_that_does_not_know_a_request_is_not_called_away(stack: Stack) -> None:
    options = client_options(KafkaSettings(kafka_bootstrap_servers=stack.bootstrap))

    async with AIOKafkaProducer(**options) as producer:
        await producer.client.force_metadata_update()
        [connection] = producer.client._conns.values()
        connection._versions = dict.fromkeys(connection._versions, (99, 99))
        with pytest.raises(NotImplementedError):
            connection.send(MetadataRequest([]))
