"""Topics a test, under a prefix of its own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import ModuleType
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from common.settings import KafkaSettings
from devstack.stack import Stack
from devstack.topology import ROOT

PARTITIONS = 3
"""Enough for two keys to meet and two to be apart; twelve cost a test a second."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic of topics.yaml, all under one prefix."""

    prefix: str
    bootstrap: str
    names: tuple[str, ...]

    def name(self, topic: str) -> str:
        """Return the name on the broker, say of `orders.v1`."""
        return f"{self.prefix}{topic}"

    async def rewind(self, group: str, topics: Iterable[str]) -> None:
        """Let a group, of which no member runs, begin again at offset 0."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.name(group), enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [
                TopicPartition(self.name(topic), partition)
                for topic in topics
                for partition in range(PARTITIONS)
            ]
            consumer.assign(partitions)
            await consumer.commit(dict.fromkeys(partitions, 0))
        finally:
            await consumer.stop()


@pytest.fixture(scope="session")
def topic_tool() -> ModuleType:
    """Load deploy/kafka/create_topics.py: the tests' topics are made as the real ones are."""
    path = ROOT / "deploy" / "kafka" / "create_topics.py"
    spec = importlib.util.spec_from_file_location("create_topics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest_asyncio.fixture
async def topics(stack: Stack, topic_tool: ModuleType) -> AsyncIterator[Topics]:
    """Create every declared topic for this test alone."""
    prefix = f"t{uuid4().hex[:12]}."
    declared = topic_tool.declared_topics(prefix=prefix, partitions=PARTITIONS)
    kafka = KafkaSettings(kafka_bootstrap_servers=stack.bootstrap)
    await topic_tool.create_topics(kafka, declared)
    names = tuple(topic.name for topic in declared)
    yield Topics(prefix, stack.bootstrap, names)
    await _delete(stack.bootstrap, names)


async def _delete(bootstrap: str, names: tuple[str, ...]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(list(names))
    finally:
        await admin.close()
