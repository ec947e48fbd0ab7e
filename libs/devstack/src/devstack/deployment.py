"""The four services on a stack: their environment, their migrations and topics, their processes."""

from __future__ import annotations

import os
from collections.abc import Mapping

from devstack.dsn import as_role
from devstack.ports import LOCALHOST, answers_ok, free_port
from devstack.postgres import PASSWORD
from devstack.processes import Process, Program, python
from devstack.servers import Servers
from devstack.simulator import launch
from devstack.together import together
from devstack.topology import GATEWAY_KEY, GATEWAY_WEBHOOK_SECRET, ROOT, SERVICES

_SHUTDOWN_SECONDS = 25.0
"""A service's own limit for a graceful end is 20 s."""
_APART = ("api", "consume", "relay")


class Deployment:
    """Services that share one database and one set of topics; several can be on one stack."""

    def __init__(
        self,
        servers: Servers,
        database: str | None = None,
        *,
        prefix: str = "",
        ports: Mapping[str, int] | None = None,
    ) -> None:
        """Use the stack's own database unless told another, and free ports unless told which."""
        self._servers = servers
        self._database = database or servers.admin_dsn
        self._prefix = prefix
        self._ports = {name: (ports or {}).get(name) or free_port() for name in SERVICES}
        self.overrides: dict[str, Mapping[str, str]] = {}
        """Service → settings that its next start gets beside or instead of the usual ones."""

    def url(self, service: str) -> str:
        """Return where a service answers, whether it runs or not."""
        return f"http://{LOCALHOST}:{self._ports[service]}"

    def env(self, service: str) -> dict[str, str]:
        """Return the environment of a service: this process' own, and where everything is."""
        known = SERVICES[service]
        own = {
            "APP_ENV": "development",
            "LOG_FORMAT": "json",
            "PORT": str(self._ports[service]),
            "DATABASE_URL": as_role(self._database, known.app, PASSWORD),
            "DATABASE_OWNER_URL": as_role(self._database, known.owner, PASSWORD),
            "DB_SCHEMA": known.schema,
            "KAFKA_BOOTSTRAP_SERVERS": self._servers.bootstrap,
            "TOPIC_PREFIX": self._prefix,
            "REDIS_URL": self._servers.redis_url,
            "PAYMENT_GATEWAY_URL": self._servers.gateway_url,
            "PAYMENT_GATEWAY_KEY": GATEWAY_KEY,
            "PAYMENT_WEBHOOK_SECRET": GATEWAY_WEBHOOK_SECRET,
            "SMTP_URL": self._servers.smtp_url,
            # One machine plays all the customers.
            "LOGIN_LIMIT_ADDRESS": "100000/1m",
            "JWT_PRIVATE_KEY_FILE": str(self._servers.signing_key),
            "JWT_JWKS_URL": f"{self.url('order')}/.well-known/jwks.json",
        }
        return {**os.environ, **own, **self.overrides.get(service, {})}

    async def prepare(self) -> None:
        """Bring every schema and topic up to date."""
        await together([self.migrate(), self.create_topics()])

    async def migrate(self) -> None:
        """Bring every schema up to date."""
        await together(self._migrate(name) for name in SERVICES)

    async def create_topics(self) -> None:
        """Create the topics that are missing."""
        script = ROOT / "deploy" / "kafka" / "create_topics.py"
        where = ["--bootstrap", self._servers.bootstrap, "--prefix", self._prefix]
        await self._servers.processes.run(
            Program(f"{self._prefix}create-topics", python(script, *where))
        )

    async def start(self, *names: str) -> None:
        """Start these services, or all, and return when each is ready and all still run."""
        for process in await together(self._start(name, "serve") for name in names or SERVICES):
            process.refuse_when_ended()

    async def start_apart(self, name: str) -> None:
        """Start a service as three processes; only `api` answers at its URL."""
        for process in await together(self._start(name, mode) for mode in _APART):
            process.refuse_when_ended()

    async def start_beside(self, name: str, mode: str, **settings: str) -> None:
        """Start one part of a service as a process of its own, beside what runs of it.

        A second one that answers requests needs a `PORT` of its own.
        """
        await self._start(name, mode, **settings)

    async def send_webhooks(self, manner: str = "once") -> None:
        """Let the gateway tell payment-service what it does; it stays silent otherwise."""
        path = "/api/v1/payments/webhooks/stripe"
        await launch.tell(
            self._servers.gateway_url,
            "webhooks",
            url=f"{self.url('payment')}{path}",
            secret=GATEWAY_WEBHOOK_SECRET,
            manner=manner,
        )

    async def stop(self, *names: str) -> None:
        """Stop these services, or all, as an operator would."""
        await together(self._stop(name) for name in names or SERVICES)

    def kill(self, name: str, mode: str = "serve") -> None:
        """Kill a service as a crash would."""
        self._servers.processes.kill(self._process_name(name, mode))

    def pid(self, name: str, mode: str = "serve") -> int:
        """Return the process id of a running service."""
        return self._servers.processes[self._process_name(name, mode)].pid

    def runs(self, name: str, mode: str = "serve") -> bool:
        """Tell whether a service that was started has not ended yet."""
        return self._process_name(name, mode) in self._servers.processes.pids

    async def _migrate(self, name: str) -> None:
        await self._servers.processes.run(self._program(name, "migrate", self.env(name)))

    async def _start(self, name: str, mode: str, **settings: str) -> Process:
        usual = self._ports[name] if mode in {"serve", "api"} else free_port()
        env = self.env(name) | {"PORT": str(usual)} | settings
        port = int(env["PORT"])
        process = self._servers.processes.spawn(self._program(name, mode, env))

        async def answers() -> bool:
            return await answers_ok(port, "/api/v1/health/ready")

        await process.ready(answers)
        return process

    def _program(self, name: str, mode: str, env: Mapping[str, str]) -> Program:
        return Program(
            self._process_name(name, mode),
            python("-m", SERVICES[name].module, mode),
            env=env,
            patience=_SHUTDOWN_SECONDS,
            needs_servers=True,
        )

    async def _stop(self, name: str) -> None:
        running = self._servers.processes.pids
        mine = (self._process_name(name, mode) for mode in ("serve", *_APART))
        await together(self._servers.processes.stop(each) for each in mine if each in running)

    def _process_name(self, service: str, mode: str) -> str:
        suffix = "" if mode == "serve" else f"-{mode}"
        return f"{self._prefix}{service}{suffix}"
