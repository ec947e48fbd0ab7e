"""A service's process: which parts run in which mode, from the first log line to the last."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import uvicorn
import uvloop
from fastapi import FastAPI
from typing_extensions import override

from common import inbox, replay, telemetry
from common.breakers import Breaker, BreakerNotes
from common.consumer import Consumer
from common.database import Database
from common.due import Loop, pause
from common.errors import ConfigurationError, Contended, Flood, Unavailable
from common.head import BoundedHead
from common.health import Health
from common.http import create_app
from common.listening import Doorman
from common.relay import Relay
from common.settings import PostgresSettings, ServiceSettings, load
from common.sweeper import Sweeper, forgetting

MODES = {
    "serve": "all parts in one process",
    "api": "HTTP only",
    "consume": "the subscription, and every loop over due rows",
    "relay": "outbox to Kafka only",
    "migrate": "bring this service's Postgres schema up to date, then exit",
}

_PARTITION_UPKEEP = 3600.0
_PARTITION_RETRY = 60.0
"""Seconds; partitions exist two days ahead, so many hours may be missed."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""As in malloc.h."""
_LARGE_BLOCK = 64 * 1024
_COLLECT_AFTER = 50_000
"""Objects: more than the batches in hand make, which live as long as these do. At 10,000 a tenth of
the time went into walking them, to find a hundred objects of garbage in 6,000 orders.
"""

_log = telemetry.get_logger()


class ProcessSettings(ServiceSettings, PostgresSettings):
    """What running a service needs, whichever service it is."""


T = TypeVar("T", bound=ProcessSettings)


@dataclass
class Service:
    """A service's parts, built and not yet running."""

    name: str
    settings: ProcessSettings
    database: Database
    health: Health
    api: FastAPI
    consumer: Consumer[Any]
    relay: Relay
    loops: Sequence[Loop] = ()
    """Due rows and timers: they run where the subscription runs."""
    breakers: Sequence[Breaker] = ()
    """Written down where the subscription runs."""
    api_loops: Sequence[Loop] = ()
    """What the API itself needs to run, such as the queue that coalesces requests."""


@dataclass(frozen=True)
class Program(Generic[T]):
    """A service as a command."""

    name: str
    settings: type[T]
    build: Callable[[T], Service]
    home: Path
    """The service's folder: migrations/ is in it, in a checkout and in an image alike."""

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command line; answers the exit code."""
        mode = self._parse(arguments)
        try:
            work = self._migrate() if mode == "migrate" else self._serve(load(self.settings), mode)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(work)
        except ConfigurationError as error:
            sys.stderr.write(f"{self.name}: {error}\n")
            return 2

    def _parse(self, arguments: Sequence[str] | None) -> str:
        lines = "\n".join(f"  {mode:<8} {what}" for mode, what in MODES.items())
        parser = argparse.ArgumentParser(
            prog=f"python -m {self.name.replace('-', '_')}",
            description=f"Run {self.name}. Settings come from the environment: .env.example "
            "lists them all.",
            epilog=f"modes:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("mode", choices=MODES, metavar="mode", help=", ".join(MODES))
        return str(parser.parse_args(arguments).mode)

    async def _serve(self, settings: T, mode: str) -> int:
        telemetry.configure_logging(settings, self.name)
        service = self.build(settings)
        head = schema_head(self.home)
        service.health.ready = {
            **service.health.ready,
            "database": lambda: check_schema(service.database, head),
            "consumer": lambda: check_flood(service.consumer),
        }
        return await Process(service, mode).run()

    def _migrate(self) -> Coroutine[Any, Any, int]:
        settings = load(ProcessSettings)
        owner = settings.database_owner_url
        if owner is None:
            raise ConfigurationError(["DATABASE_OWNER_URL: is required by migrate"])
        telemetry.configure_logging(settings, self.name)
        return self._upgrade(owner.get_secret_value())

    async def _upgrade(self, owner_dsn: str) -> int:
        from common import schema  # noqa: PLC0415  28 MiB that only this mode needs

        await schema.upgrade(owner_dsn, self.home)
        _log.info("schema is up to date", revision=schema_head(self.home))
        return 0


def schema_head(home: Path) -> str:
    """Name the newest migration in the code."""
    return (home / "migrations" / "head.txt").read_text().strip()


async def check_schema(database: Database, head: str) -> None:
    """Pass if our database answers and has the newest migration."""
    async with database.transaction() as tx:
        found = await tx.fetchval("SELECT version_num FROM alembic_version")
    if found != head:
        raise Unavailable(f"the schema is at {found}, the code wants {head}: run migrate")


async def check_flood(consumer: Consumer[Any]) -> None:
    """Pass unless the consumer has halted itself; one that is paused may still serve HTTP."""
    if consumer.flooded and consumer.halted:
        raise Flood(consumer.halted)


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: it would stop before the consumer has finished."""

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        listening = [each for server in self.servers for each in server.sockets]
        self._doorman = Doorman(listening, self._protocol)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._doorman.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.BaseProtocol:
        return BoundedHead(self.config, self.server_state, self.lifespan.state)


@dataclass
class Process:
    """The parts of one mode, started together and stopped in order."""

    service: Service
    mode: str
    _stop: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _stop_relay: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> int:
        """Run until a signal or a failing part, then stop gracefully; answers the exit code."""
        self._on_signals()
        telemetry.announce_build(self.service.name)
        server = self._server()
        parts = [asyncio.create_task(loop.run(self._stop)) for loop in self._loops()]
        relay = asyncio.create_task(self._relay())
        serving = asyncio.create_task(server.serve())
        # What lives as long as the process need not be walked by each collection.
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 50)
        _give_back_memory()
        stopping = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait(
            {stopping, serving, relay, *parts}, return_when=asyncio.FIRST_COMPLETED
        )
        # A part that a signal woke may be done in the same turn: that is no failure.
        asked = self._stop.is_set()
        failed = [task for task in done - {stopping} if task.exception() or not asked]
        for task in failed:
            _log.error("a part ended by itself", error=repr(task.exception()))
        try:
            async with asyncio.timeout(self.service.settings.shutdown_timeout.total_seconds()):
                await self._shut_down(server, serving, parts, relay)
        except TimeoutError:
            _log.error("graceful shutdown took too long, ending")
            return 1
        return 1 if failed else 0

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def received(name: str) -> None:
            if self._stop.is_set():
                _log.warning("second signal, ending at once", signal=name)
                sys.stdout.flush()
                signal.raise_signal(signal.SIGKILL)
            _log.info("shutting down", signal=name)
            self.service.health.draining = True
            self._stop.set()

        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, received, each.name)

    def _server(self) -> _Server:
        service, settings = self.service, self.service.settings
        full = self.mode in {"serve", "api"}
        probes = service.api if full else _probes_only(service)
        config = uvicorn.Config(
            probes,
            host=settings.host,
            port=settings.port,
            loop="none",
            http=BoundedHead,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
        )
        return _Server(config)

    def _loops(self) -> list[Loop]:
        service = self.service
        loops: list[Loop] = [telemetry.LoopLag()]
        if self.mode in {"serve", "api"}:
            loops += [service.api.state.limits, *service.api_loops]
        if self.mode in {"serve", "consume"}:
            keeper = PartitionKeeper(service.database)
            loops += [keeper, service.consumer, Sweeper(service.consumer, service.database)]
            loops.append(forgetting(service.database, service.consumer.kafka.parked_keep))
            loops += [replay.loop(service.database), *service.loops]
            if service.breakers:
                loops.append(BreakerNotes(service.database, service.breakers))
        return loops

    async def _relay(self) -> None:
        if self.mode == "relay":
            self.service.relay.expect_no_bell()
        if self.mode in {"serve", "relay"}:
            await self.service.relay.run(self._stop_relay)
        else:
            await self._stop_relay.wait()

    async def _shut_down(
        self,
        server: _Server,
        serving: asyncio.Task[None],
        parts: Sequence[asyncio.Task[None]],
        relay: asyncio.Task[None],
    ) -> None:
        """Stop accepting, finish what is in hand, flush the outbox, close the pool."""
        self.service.health.draining = True
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        self._stop.set()
        await asyncio.gather(*parts, return_exceptions=True)
        self._stop_relay.set()
        self.service.database.bell("outbox").ring()
        await asyncio.gather(relay, return_exceptions=True)
        await self.service.database.close()
        _log.info("stopped")


class PartitionKeeper:
    """Keeps the inbox's daily partitions ahead of the calendar."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stop: asyncio.Event) -> None:
        """Make what is missing, at the start and then hourly."""
        while not stop.is_set():
            try:
                async with self._database.transaction() as tx:
                    tidy = await inbox.ensure_partitions(tx)
            except (Unavailable, Contended) as error:
                _log.warning("inbox partitions wait", reason=str(error))
                await pause(stop, 5.0)
                continue
            if not tidy:
                _log.warning("old inbox partitions wait until nobody reads the inbox")
            await pause(stop, _PARTITION_UPKEEP if tidy else _PARTITION_RETRY)


def _probes_only(service: Service) -> FastAPI:
    return create_app(
        title=service.name,
        service=service.name,
        settings=service.settings,
        health=service.health,
    )


def _give_back_memory() -> None:
    """Have glibc return large blocks to the system; another libc is left as it is.

    By default it keeps room for the largest it has ever freed, up to 32 MiB, and an arena for
    each thread: a burst of records of 1 MB left 70 MiB behind.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_ARENA_MAX, 1)
