"""Tells merchants' endpoints what is due."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from common import telemetry
from common.database import Database
from common.due import DueLoop

from notification_service import handlers
from notification_service.channels.merchants import Merchants
from notification_service.channels.signing import Unreadable, Vault
from notification_service.domain.deliveries import Call, Delivery, Unanswered, Untried
from notification_service.store import deliveries as delivery_store

POLL = timedelta(seconds=1)
"""How late a delivery may be found that another process wrote."""
TURN = timedelta(seconds=10)
"""How long a leased delivery may wait for its turn."""
LEASE_MARGIN = timedelta(seconds=5)
"""Left of a lease beyond the longest call: nobody else may call while we still could."""

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a merchant's system may be away."""

    schedule: Sequence[timedelta]
    """Delays between the attempts of a delivery."""
    disable_after: timedelta
    """An endpoint that only failed for so long is disabled."""


@dataclass(frozen=True, slots=True)
class Messenger:
    """Calls endpoints with what is due and settles what came of it."""

    database: Database
    merchants: Merchants
    vault: Vault
    patience: Patience
    concurrency: int

    async def run(self, stop: asyncio.Event) -> None:
        """Call what is due until told to stop."""
        async with self.merchants:
            await self.loop().run(stop)

    def loop(self) -> DueLoop[Delivery, Call]:
        return DueLoop(
            "webhooks",
            database=self.database,
            lease=delivery_store.lease_deliveries,
            work=self.send,
            settle=self.settle,
            concurrency=self.concurrency,
            lease_for=self.merchants.timeout + TURN + LEASE_MARGIN,
            poll=POLL,
            bell=delivery_store.WEBHOOK_BELL,
            look=partial(delivery_store.are_deliveries_due, self.database),
        )

    async def send(self, delivery: Delivery) -> Call:
        """Make one call, unless the lease may end before the call does."""
        if delivery.lease_ends - time.monotonic() < self._needed:
            return Untried()
        now = datetime.now(UTC)
        try:
            headers = self.vault.headers(
                delivery.sealed_secrets, delivery.delivery_id, delivery.payload, now=now
            )
        except Unreadable as error:
            _log.exception("webhook not signed", key=delivery.endpoint_id, error=str(error))
            return Unanswered("secret_unreadable", timedelta())
        return await self.merchants.post(delivery.url, headers, delivery.payload)

    async def settle(self, calls: Sequence[tuple[Delivery, Call]]) -> None:
        await handlers.settle_deliveries(
            self.database,
            calls,
            schedule=self.patience.schedule,
            disable_after=self.patience.disable_after,
        )

    @property
    def _needed(self) -> float:
        return (self.merchants.timeout + LEASE_MARGIN).total_seconds()
