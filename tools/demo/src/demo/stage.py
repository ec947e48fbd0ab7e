"""Where the suite runs: the stack that is given, else one that is started for this run."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack import supervisor
from devstack.deployment import Deployment
from devstack.stack import Stack
from invariants.sources import Sources


class DemoError(Exception):
    """The run can't begin or go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Addresses of running services, and of what the verdict is read from."""

    order_url: str
    inventory_url: str
    signing_key: Path
    client_log: Path
    """Where the run notes its answers, for the verdict to compare."""
    sources: Sources


@asynccontextmanager
async def suite(client_log: Path, say: Callable[[str], None]) -> AsyncIterator[Suite]:
    """Use the services that the environment or `make dev` names, or start all and stop all."""
    given = _given()
    if "ORDER_URL" in given:
        yield _from_environment(given, client_log)
        return
    say("starting Kafka, PostgreSQL, Valkey, mail sink and payment gateway")
    async with Stack.start() as stack:
        say("migrating, and starting the four services")
        yield _from_stack(stack, await stack.start_services(), client_log)


def _given() -> dict[str, str]:
    running = supervisor.running_supervisor() is not None and supervisor.ENVIRONMENT.exists()
    return (supervisor.read_environment() if running else {}) | dict(os.environ)


def _from_environment(given: Mapping[str, str], client_log: Path) -> Suite:
    missing = [name for name in ("INVENTORY_URL", "JWT_PRIVATE_KEY_FILE") if not given.get(name)]
    if missing:
        message = f"ORDER_URL is set, so {' and '.join(missing)} must be set too"
        raise DemoError(message)
    return Suite(
        order_url=given["ORDER_URL"],
        inventory_url=given["INVENTORY_URL"],
        signing_key=Path(given["JWT_PRIVATE_KEY_FILE"]),
        client_log=client_log,
        sources=Sources.from_environment({**given, "CLIENT_LOG": str(client_log)}),
    )


def _from_stack(stack: Stack, services: Deployment, client_log: Path) -> Suite:
    return Suite(
        order_url=services.url("order"),
        inventory_url=services.url("inventory"),
        signing_key=stack.signing_key,
        client_log=client_log,
        sources=Sources(
            database_url=stack.admin_dsn,
            kafka=stack.bootstrap,
            ledger=stack.gateway_ledger,
            mail=stack.mail_dir,
            client_log=client_log,
        ),
    )
