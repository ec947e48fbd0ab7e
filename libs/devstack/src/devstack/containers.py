"""The same three servers in containers, where an engine is there: TEST_STACK=containers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from devstack.ports import LOCALHOST, free_port
from devstack.postgres import DATABASE, PASSWORD


def starters(running: ExitStack) -> dict[str, Callable[[], Awaitable[str]]]:
    """Tell how to start each server, by the variable that would give its address."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": partial(asyncio.to_thread, _start_kafka, running),
        "DATABASE_URL": partial(asyncio.to_thread, _start_postgres, running),
        "REDIS_URL": partial(asyncio.to_thread, _start_valkey, running),
    }


def _start_kafka(running: ExitStack) -> str:
    port = free_port()
    container = DockerContainer("apache/kafka:4.3.1").with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://:9093",
        # Clients come back to the address that the broker names, so it names the mapped one.
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{LOCALHOST}:{port}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
    )
    container.with_bind_ports(9092, port).waiting_for(
        LogMessageWaitStrategy("Kafka Server started")
    )
    running.enter_context(container)
    return f"{LOCALHOST}:{port}"


def _start_postgres(running: ExitStack) -> str:
    port = free_port()
    container = DockerContainer("postgres:18").with_envs(
        POSTGRES_PASSWORD=PASSWORD, POSTGRES_DB=DATABASE
    )
    container.with_command(
        "postgres -c shared_preload_libraries=pg_stat_statements -c max_connections=300"
    )
    # Once for the server that only initialises, once for the real one.
    ready = LogMessageWaitStrategy("database system is ready to accept connections", times=2)
    running.enter_context(container.with_bind_ports(5432, port).waiting_for(ready))
    return f"postgresql://postgres:{PASSWORD}@{LOCALHOST}:{port}/{DATABASE}"


def _start_valkey(running: ExitStack) -> str:
    port = free_port()
    container = DockerContainer("valkey/valkey:9.1").with_bind_ports(6379, port)
    ready = LogMessageWaitStrategy("Ready to accept connections")
    running.enter_context(container.waiting_for(ready))
    return f"redis://{LOCALHOST}:{port}/0"
