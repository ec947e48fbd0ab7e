"""Where the services and the broker are: from the environment, else from the stack's own file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from common.errors import ConfigurationError
from common.settings import KafkaSettings, load
from invariants.sources import environment

from pedido.trouble import NO_CONNECTION, Trouble


class Service(StrEnum):
    """The four services, by the name that their addresses have in the environment."""

    ORDER = "order"
    INVENTORY = "inventory"
    PAYMENT = "payment"
    NOTIFICATION = "notification"


@dataclass(frozen=True, slots=True)
class Where:
    """The addresses and the token of one run."""

    known: dict[str, str]

    @classmethod
    def found(cls) -> Where:
        """Read the environment over the nearest `.local/stack.env`, looking upwards."""
        here = Path.cwd()
        files = (parent / ".local" / "stack.env" for parent in (here, *here.parents))
        nearest = next((file for file in files if file.is_file()), None)
        return cls(environment(nearest) if nearest else dict(os.environ))

    def get(self, name: str) -> str:
        """Look a variable up, or say how to set it."""
        value = self.known.get(name, "")
        if not value:
            raise Trouble(
                f"{name} is not set, and no .local/stack.env above here names it", NO_CONNECTION
            )
        return value

    def url(self, service: Service) -> str:
        """Tell where a service answers."""
        return self.get(f"{service.upper()}_URL").rstrip("/")

    @property
    def kafka(self) -> KafkaSettings:
        """Tell how the broker is reached: TLS and login are set as for the services."""
        try:
            return load(KafkaSettings, kafka_bootstrap_servers=self.get("KAFKA_BOOTSTRAP_SERVERS"))
        except ConfigurationError as error:
            raise Trouble("; ".join(error.problems), NO_CONNECTION) from None

    @property
    def prefix(self) -> str:
        """Tell what stands in front of every topic and group."""
        return self.known.get("TOPIC_PREFIX", "")
