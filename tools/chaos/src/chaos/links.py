"""A proxy on each link between a service and what it talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from devstack.deployment import Deployment
from devstack.kafka import Listener
from devstack.ports import LOCALHOST, free_port
from devstack.stack import Stack
from devstack.topology import SERVICES

from chaos.proxy import Proxy

POSTGRES = tuple(f"{name}-postgres" for name in SERVICES)
KAFKA = tuple(f"{name}-kafka" for name in SERVICES)
GATEWAY, MAIL = "payment-gateway", "notification-mail"
ALL = (*POSTGRES, *KAFKA, GATEWAY, MAIL)


def doors() -> dict[str, Listener]:
    """Give each service a door of its own at the broker, which leads its clients to a proxy."""
    return {name: Listener(name.upper(), free_port(), free_port()) for name in SERVICES}


@dataclass(frozen=True, slots=True)
class Links:
    """All links by name: `order-postgres`, `payment-gateway`."""

    proxies: Mapping[str, Proxy]

    def __getitem__(self, name: str) -> Proxy:
        return self.proxies[name]

    def heal(self) -> None:
        """Let everything through everywhere."""
        for proxy in self.proxies.values():
            proxy.heal()


@asynccontextmanager
async def linked(
    stack: Stack, services: Deployment, at_broker: Mapping[str, Listener]
) -> AsyncIterator[Links]:
    """Put every link of these services through a proxy; they must not have started."""
    made = [Proxy(name, port_of(stack.admin_dsn)) for name in POSTGRES]
    made += [Proxy(f"{name}-kafka", door.port, door.advertised) for name, door in at_broker.items()]
    made += [Proxy(GATEWAY, port_of(stack.gateway_url)), Proxy(MAIL, port_of(stack.smtp_url))]
    links = Links({proxy.name: proxy for proxy in made})
    for name in SERVICES:
        services.overrides[name] = _addresses(services.env(name), name, links)
    async with AsyncExitStack() as running:
        for proxy in made:
            await running.enter_async_context(proxy)
        yield links


def _addresses(env: Mapping[str, str], name: str, links: Links) -> dict[str, str]:
    return {
        "DATABASE_URL": _moved(env["DATABASE_URL"], links[f"{name}-postgres"]),
        "KAFKA_BOOTSTRAP_SERVERS": f"{LOCALHOST}:{links[f'{name}-kafka'].port}",
        "PAYMENT_GATEWAY_URL": _moved(env["PAYMENT_GATEWAY_URL"], links[GATEWAY]),
        "SMTP_URL": _moved(env["SMTP_URL"], links[MAIL]),
    }


def port_of(url: str) -> int:
    """Read the port out of an address."""
    port = urlsplit(url).port
    if port is None:
        message = f"{url} names no port"
        raise ValueError(message)
    return port


def _moved(url: str, proxy: Proxy) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials}{at}{LOCALHOST}:{proxy.port}").geturl()
