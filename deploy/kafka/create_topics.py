#!/usr/bin/env python3
"""Creates the topics of schemas/topics.yaml: what is missing is made, what is there is checked."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from common.broker import client_options
from common.errors import ConfigurationError
from common.settings import KafkaSettings, load

SCHEMAS = Path(__file__).parents[2] / "schemas"
_VISIBLE_WITHIN_SECONDS = 30.0
"""A broker learns of a topic from the controller a moment after the controller has made it."""


class TopicsError(Exception):
    """The broker's topics can't be brought in line with topics.yaml; the message says why."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was made and what was there already, by full name."""

    created: tuple[str, ...]
    unchanged: tuple[str, ...]


def declared_topics(
    schemas: Path = SCHEMAS,
    *,
    prefix: str = "",
    partitions: int | None = None,
    replication_factor: int = 1,
) -> list[NewTopic]:
    """Read topics.yaml as the broker wants to hear it."""
    declared: dict[str, dict[str, Any]] = yaml.safe_load((schemas / "topics.yaml").read_text())
    return [
        NewTopic(
            name=f"{prefix}{name}",
            num_partitions=partitions or topic["partitions"],
            replication_factor=replication_factor,
            topic_configs={key: str(value) for key, value in topic["config"].items()},
        )
        for name, topic in declared["topics"].items()
    ]


async def create_topics(kafka: KafkaSettings, topics: list[NewTopic]) -> Report:
    """Make what is missing and return once the broker serves it.

    Raises TopicsError, before anything is made, when a topic is there with another partition count:
    a key would change its partition, and with it lose its order.
    """
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        existing = await _partition_counts(admin)
        _refuse_other_counts(topics, existing)
        missing = [topic for topic in topics if topic.name not in existing]
        if missing:
            await _create(admin, missing)
            await _until_served(admin, missing)
    except (KafkaError, OSError) as error:
        where = f"{kafka.kafka_bootstrap_servers} over {kafka.kafka_security_protocol}"
        message = f"{where}: {error}"
        raise TopicsError(message) from error
    finally:
        await admin.close()
    made = {topic.name for topic in missing}
    return Report(
        created=tuple(topic.name for topic in missing),
        unchanged=tuple(topic.name for topic in topics if topic.name not in made),
    )


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics()
        if topic["error_code"] == 0
    }


def _refuse_other_counts(topics: list[NewTopic], existing: dict[str, int]) -> None:
    wrong = [
        f"{topic.name} has {existing[topic.name]} partitions instead of {topic.num_partitions}"
        for topic in topics
        if existing.get(topic.name, topic.num_partitions) != topic.num_partitions
    ]
    if wrong:
        raise TopicsError("\n  ".join(wrong))


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    answer = await admin.create_topics(topics)
    refused = []
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another job may be making them too
            refused.append(f"{name}: {error.__name__}: {message[0] if message else ''}")
    if refused:
        raise TopicsError("\n  ".join(refused))


async def _until_served(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    wanted = {topic.name: topic.num_partitions for topic in topics}
    deadline = time.monotonic() + _VISIBLE_WITHIN_SECONDS
    while True:
        counts = await _partition_counts(admin)
        absent = sorted(name for name, count in wanted.items() if counts.get(name) != count)
        if not absent:
            return
        if time.monotonic() > deadline:
            message = f"made, but not served in {_VISIBLE_WITHIN_SECONDS:.0f} s: {absent}"
            raise TopicsError(message)
        await asyncio.sleep(0.02)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="TLS and login are set as for the services, in the environment:"
        " KAFKA_SECURITY_PROTOCOL KAFKA_SASL_* KAFKA_SSL_*.",
    )
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT")
    parser.add_argument("--prefix", default="", help="put in front of every name")
    parser.add_argument("--partitions", type=_positive, help="instead of the declared number")
    parser.add_argument("--replication-factor", type=_positive, default=1)
    parser.add_argument("--schemas", type=Path, default=SCHEMAS, help="folder with topics.yaml")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"{text} is less than 1"
        raise argparse.ArgumentTypeError(message)
    return number


def main() -> int:
    """Create the topics and print one line each."""
    given = _arguments()
    try:
        topics = declared_topics(
            given.schemas,
            prefix=given.prefix,
            partitions=given.partitions,
            replication_factor=given.replication_factor,
        )
        kafka = load(KafkaSettings, kafka_bootstrap_servers=given.bootstrap)
        report = asyncio.run(create_topics(kafka, topics))
    except (TopicsError, ConfigurationError, OSError) as error:
        sys.stderr.write(f"topics: {error}\n")
        return 1
    for name in report.created:
        sys.stdout.write(f"created {name}\n")
    sys.stdout.write(f"{len(report.created)} created, {len(report.unchanged)} there already\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
