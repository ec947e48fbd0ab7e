"""Where the peers on Kafka are, and their topics."""

import os
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

KAFKA = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
PREFIX = os.environ.get("TOPIC_PREFIX", "")
EVENTS = "orders.v1"
"""Where relays send: it bears the name of the suite's own."""
PARTITIONS = 12
"""As many as the suite's own topics have."""


async def create(names: Iterable[str]) -> None:
    """Make topics of this run's own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=KAFKA)
    await admin.start()
    await admin.create_topics([NewTopic(PREFIX + name, PARTITIONS, 1) for name in names])
    await admin.close()
