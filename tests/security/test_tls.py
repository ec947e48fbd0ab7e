"""Whoever we call must prove who it is: another authority's word or another name is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from common import tally
from common.broker import client_options
from common.database import Database
from common.errors import Unavailable
from common.keys import JwksKeys
from common.settings import KafkaSettings, PostgresSettings
from pydantic import SecretStr

from tests.support.certificates import Authority, listening

Call: TypeAlias = Callable[[int, Path], Awaitable[None]]

GATEWAY_CALL = """
import asyncio, sys
from datetime import timedelta
from payment_service.gateway.breaker import Breaker, Threshold
from payment_service.gateway.client import Client, Interrupted, Unreachable

async def call():
    threshold = Threshold(calls=9, failed=0.5, window=timedelta(minutes=1))
    client = Client(url=sys.argv[1], key="sk_test", timeout=timedelta(seconds=5), connections=1,
                    breaker=Breaker("gateway", threshold, open_for=timedelta(seconds=1)))
    async with client:
        try:
            await client.post("/v1/payment_intents", {}, "key")
        except (Interrupted, Unreachable):
            pass

asyncio.run(call())
"""


async def call_postgres(port: int, authority: Path) -> None:
    tls = f"sslmode=verify-full&sslrootcert={authority}"
    settings = PostgresSettings(
        database_url=SecretStr(f"postgresql://a:b@localhost:{port}/pedido?{tls}"),
        db_schema="orders",
    )
    database = Database(settings, name="caller")
    with contextlib.suppress(Unavailable):
        async with database.transaction():
            pass
    await database.close()


async def call_kafka(port: int, authority: Path) -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers=f"localhost:{port}",
        kafka_security_protocol="SSL",
        kafka_ssl_cafile=authority,
    )
    producer = AIOKafkaProducer(**client_options(settings), request_timeout_ms=2000)
    with contextlib.suppress(KafkaError):
        await producer.start()
    await producer.stop()


async def call_issuer(port: int, _authority: Path) -> None:
    with contextlib.suppress(Unavailable):
        await JwksKeys(f"https://localhost:{port}/.well-known/jwks.json").find("a-key")


async def call_valkey(port: int, authority: Path) -> None:
    url = f"rediss://:secret@localhost:{port}/0?ssl_ca_certs={authority}"
    spent = tally.Tally(SecretStr(url), "")
    await spent.spend([("key", 1.0, None)])
    await spent.close()


async def call_gateway(port: int, _authority: Path) -> None:
    command = [sys.executable, "-c", GATEWAY_CALL, f"https://localhost:{port}"]
    process = await asyncio.create_subprocess_exec(*command, env=os.environ)
    assert await process.wait() == 0


CALLS: dict[str, Call] = {
    "postgres": call_postgres,
    "kafka": call_kafka,
    "issuer": call_issuer,
    "valkey": call_valkey,
    "gateway": call_gateway,
}
every_call = pytest.mark.parametrize(("name", "call"), CALLS.items(), ids=CALLS)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Give the one authority that this machine believes during the test."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Valkey more than a tenth of a second: this process plays both sides of the handshake."""
    monkeypatch.setattr(tally, "_PATIENCE", 5.0)


@every_call
async def test_who_proves_its_name_is_spoken_to(
    authority: Authority, name: str, call: Call
) -> None:
    with listening(authority.issue("localhost"), as_postgres=name == "postgres") as listener:
        await call(listener.port, authority.file)

    assert listener.heard


@every_call
@pytest.mark.parametrize("claim", ["another name", "another authority"])
async def test_who_does_not_is_told_nothing(
    authority: Authority, tmp_path: Path, name: str, call: Call, claim: str
) -> None:
    with listening(_false(claim, authority, tmp_path), as_postgres=name == "postgres") as listener:
        await call(listener.port, authority.file)

    assert listener.refused
    assert not listener.heard


def _false(claim: str, authority: Authority, folder: Path) -> ssl.SSLContext:
    if claim == "another name":
        return authority.issue("elsewhere.example")
    (folder / "forged").mkdir()
    return Authority(folder / "forged").issue("localhost")
