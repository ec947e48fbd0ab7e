"""Keeps a developer's stack and services running until SIGTERM; tells its steps on stdout."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from devstack.deployment import Deployment
from devstack.errors import StackError
from devstack.ports import first_free_from
from devstack.servers import Servers
from devstack.stack import Stack
from devstack.topology import GATEWAY_KEY, LOCAL, SERVICES

STATE = LOCAL / "dev"
LOCK = LOCAL / "dev.lock"
"""Locked by the supervisor for as long as it lives, however it ends; its pid is inside."""
ENVIRONMENT = LOCAL / "stack.env"
READY = "ready"
FAILED = "failed"


def running_supervisor() -> int | None:
    """Return the pid of the supervisor, if one runs."""
    if not LOCK.exists():
        return None
    with LOCK.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read())
    return None


def read_environment() -> dict[str, str]:
    """Read what any tool needs to know of the running stack."""
    lines = (line.partition("=") for line in ENVIRONMENT.read_text().splitlines())
    return {name: shlex.split(value)[0] for name, _, value in lines}


def _environment(servers: Servers, services: Deployment) -> dict[str, str]:
    return {
        "DATABASE_URL": servers.admin_dsn,
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap,
        "REDIS_URL": servers.redis_url,
        **{f"{name.upper()}_URL": services.url(name) for name in SERVICES},
        "GATEWAY_URL": servers.gateway_url,
        "GATEWAY_LEDGER": str(servers.gateway_ledger),
        "PAYMENT_GATEWAY_URL": servers.gateway_url,
        "PAYMENT_GATEWAY_KEY": GATEWAY_KEY,
        "SMTP_URL": servers.smtp_url,
        "MAIL_DIR": str(servers.mail_dir),
        "JWT_PRIVATE_KEY_FILE": str(servers.signing_key),
    }


def _write_environment(values: Mapping[str, str]) -> None:
    part = ENVIRONMENT.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()))
    part.rename(ENVIRONMENT)


@contextmanager
def _only_one() -> Iterator[None]:
    LOCAL.mkdir(exist_ok=True)
    with LOCK.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        ENVIRONMENT.unlink(missing_ok=True)  # of one that was killed
        yield


async def _run() -> None:
    this = asyncio.current_task()
    if this is not None:  # always, inside a coroutine that asyncio.run runs
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    _say("starting Kafka, PostgreSQL, Valkey, the mail sink and the gateway")
    async with Stack.start(STATE) as stack:
        ports = {name: first_free_from(service.port) for name, service in SERVICES.items()}
        services = Deployment(stack, ports=ports)
        _say("migrating the databases and creating the topics")
        await services.prepare()
        _say("starting the four services")
        await services.start()
        await _stay(_environment(stack, services))


async def _stay(environment: Mapping[str, str]) -> None:
    _write_environment(environment)
    try:
        _say(READY)
        await asyncio.Event().wait()
    finally:
        ENVIRONMENT.unlink(missing_ok=True)


def _say(step: str) -> None:
    # Who asked for the stack reads this. When they are gone before it is ready, the write fails,
    # and so does the start.
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


def main() -> int:
    """Run until SIGTERM; a start that failed says why on stdout."""
    with _only_one():
        try:
            asyncio.run(_run())
        except asyncio.CancelledError:
            return 0
        except StackError as error:
            _say(f"{FAILED}\n{error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
