"""A process of a service: how it starts, and with which code it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import till
from common.consumer import Consumer
from common.database import Database
from common.health import Health
from common.http import create_app
from common.process import Process, ProcessSettings, Program, Service
from common.relay import Relay
from common.settings import KafkaSettings
from devstack.ports import free_port
from fastapi import Request
from pydantic import SecretStr

if TYPE_CHECKING:
    from common.due import Loop


class Settings(ProcessSettings, KafkaSettings):
    """What the till needs."""


class Waits:
    async def run(self, stop: asyncio.Event) -> None:
        """Do nothing until told to stop."""
        await stop.wait()


class Fails:
    async def run(self, stop: asyncio.Event) -> None:
        """End by itself."""
        del stop
        message = "a part that fails"
        raise LookupError(message)


class Asks:
    async def run(self, stop: asyncio.Event) -> None:
        """Ask this process to end, as an operator would."""
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()


class NeverStops:
    async def run(self, stop: asyncio.Event) -> None:
        """Ask this process to end, and stand in its way."""
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        await asyncio.Event().wait()


def service_of(*loops: Loop, **changes: Any) -> Service:
    """Build a service whose API is all that runs: neither database nor broker is asked."""
    settings = Settings(
        app_env="test",
        port=free_port(),
        database_url=SecretStr("postgresql://nobody:nothing@127.0.0.1:9/none"),
        db_schema="inventory",
        kafka_bootstrap_servers="127.0.0.1:9",
        **changes,
    )
    database = Database(settings, name="till")
    health = Health()
    return Service(
        name="till",
        settings=settings,
        database=database,
        health=health,
        api=create_app(title="till", service="till", settings=settings, health=health),
        consumer=Consumer(till.subscription(), database=database, kafka=settings),
        relay=Relay(database, settings),
        api_loops=loops,
    )


@pytest.fixture
def _collecting() -> Iterator[None]:
    """Undo what a process does to the collector for good, but leave what is there frozen.

    As at the start: each test after this would walk through all that is imported.
    """
    usual = gc.get_threshold()
    yield
    gc.set_threshold(*usual)


@pytest.mark.parametrize(
    ("loop", "patience", "code"),
    [(Asks(), "20s", 0), (Fails(), "20s", 1), (NeverStops(), "500ms", 1)],
    ids=["asked", "failed", "hung"],
)
@pytest.mark.usefixtures("_collecting")
async def test_the_exit_code_tells_how_it_ended(loop: Loop, patience: str, code: int) -> None:
    service = service_of(Waits(), loop, shutdown_timeout=patience)

    assert await Process(service, "api").run() == code
    assert service.health.draining


@pytest.mark.parametrize(
    ("trusted", "peer", "told"),
    [
        ("", "127.0.0.1", "http 127.0.0.1"),
        ("10.9.9.9", "10.1.2.3", "http 10.1.2.3"),
        ("10.1.2.3", "10.1.2.3", "https 6.6.6.6"),
        ("10.1.2.0/24, 10.7.7.7", "10.1.2.3", "https 6.6.6.6"),
    ],
    ids=["no proxy", "another proxy", "the proxy", "one of its network"],
)
async def test_only_a_trusted_proxy_tells_who_is_calling(
    trusted: str, peer: str, told: str
) -> None:
    service = service_of(trusted_proxies=trusted)

    @service.api.get("/caller")
    async def tell(request: Request) -> str:
        return f"{request.url.scheme} {request.client.host if request.client else ''}"

    async with client_of(service, peer) as http:
        forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
        answer = await http.get("/caller", headers=forged)

    assert answer.json() == told


@pytest.mark.parametrize(
    ("trusted", "statuses"),
    [("", [404, 429]), ("10.1.2.3", [404, 404])],
    ids=["from anyone", "by the proxy"],
)
async def test_a_forwarded_address_has_a_bucket_only_if_the_proxy_names_it(
    trusted: str, statuses: list[int]
) -> None:
    service = service_of(trusted_proxies=trusted, rate_limit_address="1/1h")
    forwarded = ("198.51.100.7", "203.0.113.9, 198.51.100.8")

    async with client_of(service, "10.1.2.3") as http:
        answers = [
            await http.get("/nothing", headers={"X-Forwarded-For": each}) for each in forwarded
        ]

    assert [answer.status_code for answer in answers] == statuses


async def test_what_a_client_put_before_the_proxys_word_buys_nothing() -> None:
    service = service_of(trusted_proxies="10.1.2.3", rate_limit_address="1/1h")

    async with client_of(service, "10.1.2.3") as http:
        answers = [
            await http.get("/nothing", headers={"X-Forwarded-For": f"{forged}, 198.51.100.7"})
            for forged in ("203.0.113.9", "203.0.113.10", "10.1.2.3")
        ]

    assert [answer.status_code for answer in answers] == [404, 429, 429]


def client_of(service: Service, peer: str) -> httpx2.AsyncClient:
    """Call what the process would serve, as that peer."""
    config = Process(service, "api")._server().config
    config.load()
    transport = httpx2.ASGITransport(app=config.loaded_app, client=(peer, 4567))
    return httpx2.AsyncClient(transport=transport, base_url="http://till")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program[Settings]:
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DB_SCHEMA", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    return Program("till", Settings, lambda _: service_of(), home=Path(__file__).parent)


def test_a_missing_setting_is_named(
    program: Program[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["serve"]) == 2
    assert "DATABASE_URL: is required" in capsys.readouterr().err


def test_migrate_asks_for_the_owner(
    program: Program[Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://till:secret@127.0.0.1:9/none")
    monkeypatch.setenv("DB_SCHEMA", "till")

    assert program.main(["migrate"]) == 2
    assert "DATABASE_OWNER_URL" in capsys.readouterr().err


def test_an_unknown_mode_is_told_the_modes(
    program: Program[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["serv"])

    assert ended.value.code == 2
    assert "relay" in capsys.readouterr().err
