"""Whether this process lives, may be sent work, and how each thing it depends on answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from common.auth import Principal, caller
from common.errors import Flood, Refusal, Unavailable

Check = Callable[[], Awaitable[object]]
"""Returns when all is well; raises Unavailable, Flood or an OSError when it is not."""

_FAILURES = (Unavailable, Flood, OSError, TimeoutError)


@dataclass
class Health:
    """What must be well before work is sent here, and what is merely worth looking at."""

    ready: Mapping[str, Check] = field(default_factory=dict)
    """Own database, schema at head, no flood; never the broker or another service."""
    worth_knowing: Mapping[str, Check] = field(default_factory=dict)
    """Shown to operators only; none of these takes this process out of service."""
    timeout: float = 2.0
    draining: bool = False
    """Set at the first sign of shutdown, so that no new work is sent here."""

    async def assert_ready(self) -> None:
        """Pass if every check passes within the time-out, else refuse with their names."""
        if self.draining:
            raise _not_ready("it is shutting down")
        results = await self._run(self.ready)
        failed = sorted(name for name, result in results.items() if result["status"] != "up")
        if failed:
            raise _not_ready(f"these checks fail: {', '.join(failed)}")

    async def describe(self) -> dict[str, Any]:
        return {
            "draining": self.draining,
            "required": await self._run(self.ready),
            "worthKnowing": await self._run(self.worth_knowing),
        }

    async def _run(self, checks: Mapping[str, Check]) -> dict[str, dict[str, Any]]:
        results = await asyncio.gather(*(self._try(check) for check in checks.values()))
        return dict(zip(checks, results, strict=True))

    async def _try(self, check: Check) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout):
                await check()
        except _FAILURES as error:
            result: dict[str, Any] = {"status": "down", "reason": type(error).__name__}
        else:
            result = {"status": "up"}
        return result | {"latencyMs": round((time.perf_counter() - started) * 1000, 2)}


def _not_ready(reason: str) -> Refusal:
    return Refusal("not_ready", f"This process takes no work: {reason}.", status=503, retry_after=2)


def routes(health: Health, service: str) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """Answer as long as the event loop runs; asks nobody else."""
        return {"status": "up", "service": service}

    @router.get("/health", name="health")
    @router.get("/health/ready")
    async def ready() -> dict[str, str]:
        """Answer 200 when this process may be sent work, else 503."""
        await health.assert_ready()
        return {"status": "up"}

    @router.get("/health/detailed")
    async def detailed(
        _operator: Annotated[Principal, Depends(caller("operator"))],
    ) -> dict[str, Any]:
        """Show each dependency with its latency."""
        return await health.describe()

    return router
