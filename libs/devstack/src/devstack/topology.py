"""What the suite consists of: the services with their schemas, roles and ports."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[4]
"""The checkout: devstack runs from there and is never installed anywhere else."""
LOCAL = Path(os.environ.get("DEVSTACK_HOME") or ROOT / ".local")
"""Everything that this package writes is below; the repository ignores it."""
CACHE = ROOT / ".local" / "cache"
"""What was downloaded, shared by every stack of this checkout."""

GATEWAY_KEY = "sk_test_pedido"
"""What the payment service shows to the gateway simulator."""
GATEWAY_WEBHOOK_SECRET = "whsec_pedido_local_only"  # noqa: S105  of the simulator, not of anybody
"""What the gateway simulator signs its webhooks with."""


@dataclass(frozen=True, slots=True)
class Service:
    """One of the four services, as far as somebody who starts it must know it."""

    name: str
    schema: str
    port: int

    @property
    def owner(self) -> str:
        """The role that migrates."""
        return f"{self.schema}_owner"

    @property
    def app(self) -> str:
        """The role that serves."""
        return f"{self.schema}_app"

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return f"{self.name}_service"


SERVICES = {
    service.name: service
    for service in (
        Service("order", "orders", 8000),
        Service("inventory", "inventory", 8001),
        Service("payment", "payments", 8002),
        Service("notification", "notifications", 8003),
    )
}
