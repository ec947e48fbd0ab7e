"""A broker behind TLS and a login: the tools get in as the services do, or say why they can't."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from aiokafka import AIOKafkaProducer
from common.broker import client_options
from common.settings import KafkaSettings, load
from devstack import kafka
from devstack.ports import free_port
from devstack.processes import Processes
from devstack.topology import CACHE, ROOT
from invariants import topics as checker
from invariants.sources import Sources
from pedido import topics as operator
from pedido.where import Where

from tests.support.certificates import Authority

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

WITHIN_SECONDS = 20.0
"""Half of the time after which a Kafka client gives up a broker that does not answer."""
Environment: TypeAlias = Mapping[str, str]
Tool: TypeAlias = Callable[[Environment, Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Run a broker whose door wants TLS and a password; give what its clients are told."""
    folder = tmp_path_factory.mktemp("broker")
    authority = Authority(folder)
    port = free_port()
    processes = Processes(folder / "logs")
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            door = secured(port, authority.write("localhost"))
            runner.run(kafka.start(processes, folder, CACHE, listeners=[door]))
            yield {
                "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}",
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_SASL_MECHANISM": "PLAIN",
                "KAFKA_SASL_USERNAME": "operator",
                "KAFKA_SASL_PASSWORD": "known to us",
                "KAFKA_SSL_CAFILE": str(authority.file),
            }
        finally:
            runner.run(processes.stop_all())


def secured(port: int, certificate: Path) -> kafka.Listener:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    return kafka.Listener(
        "SECURED",
        port,
        port,
        host="localhost",
        protocol="SASL_SSL",
        settings={
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificate),
            "sasl.enabled.mechanisms": "PLAIN",
            "plain.sasl.jaas.config": f'{login} user_operator="known to us";',
        },
    )


@pytest.fixture
def settings(broker: Environment, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    """Let this process too know how to reach the broker."""
    for name, value in broker.items():
        monkeypatch.setenv(name, value)
    return load(KafkaSettings)


def create_topics(env: Environment, folder: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "deploy" / "kafka" / "create_topics.py"
    where = ("--bootstrap", env["KAFKA_BOOTSTRAP_SERVERS"])
    return run(str(script), "--partitions", "1", *where, env=env, folder=folder)


def tail_events(env: Environment, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ("--output", "json", "events", "tail")
    return run("-m", "pedido", *words, env=env, folder=folder)


def run(*words: str, env: Environment, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
        check=False,
    )


async def test_topics_are_made_and_read_behind_tls_and_a_login(
    broker: Environment, settings: KafkaSettings, tmp_path: Path
) -> None:
    made = create_topics(broker, tmp_path)
    assert made.returncode == 0, made.stderr
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        placed = [("ce_type", b"OrderPlaced")]
        await producer.send_and_wait("orders.v1", b"", key=b"an order", headers=placed)

    seen = tail_events(broker, tmp_path)
    sources = Sources("", settings.kafka_bootstrap_servers, tmp_path, tmp_path)
    checked = await checker.read(sources)

    assert seen.returncode == 0, seen.stderr
    assert [event["type"] for event in json.loads(seen.stdout)] == ["OrderPlaced"]
    assert checked.counts == {("orders.v1", "OrderPlaced"): 1}


async def test_offsets_are_set_back_behind_tls_and_a_login(
    broker: Environment, settings: KafkaSettings, tmp_path: Path
) -> None:
    made = create_topics(broker, tmp_path)
    assert made.returncode == 0, made.stderr
    where = Where({"KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers})

    await operator.set_offsets(where, "payment-service", {("orders.v1", 0): 0})

    assert await operator.group_state(where, "payment-service") == "Empty"


@pytest.mark.parametrize("tool", [create_topics, tail_events], ids=["topics", "events"])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"KAFKA_SASL_PASSWORD": "guessed"}, "SaslAuthenticationFailed"),
        ({"KAFKA_SASL_PASSWORD": ""}, "SASL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "over PLAINTEXT"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "over SSL"),
        ({"KAFKA_SSL_CAFILE": ""}, "CERTIFICATE_VERIFY_FAILED"),
        ({"KAFKA_SSL_CAFILE": "/nowhere"}, "KAFKA_SSL_CAFILE"),
        ({"KAFKA_SSL_CAFILE": __file__}, "certificate"),
    ],
    ids=["password", "no password", "no tls", "no login", "no authority", "no file", "no pem"],
)
def test_who_is_not_let_in_is_told_why_within_seconds(
    broker: Environment, tmp_path: Path, tool: Tool, wrong: Environment, told: str
) -> None:
    refused = tool({**broker, **wrong}, tmp_path)

    assert refused.returncode in {1, 2}
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr
