"""Forgets what was settled long ago, and endpoints that were removed, with their logs."""

from dataclasses import dataclass
from datetime import timedelta

from common.database import Database

from notification_service.store import deliveries as delivery_store
from notification_service.store import endpoints as endpoint_store
from notification_service.store import letters as letter_store

_AT_ONCE = 1000
"""Rows of one transaction: a few milliseconds of work, which a backlog repeats."""


@dataclass(frozen=True, slots=True)
class Janitor:
    """Forgets notices, deliveries and endpoints, each with its log."""

    database: Database
    keep_letters: timedelta
    keep_webhooks: timedelta

    async def sweep(self) -> int:
        """Forget some; answers how many."""
        async with self.database.transaction() as tx:
            letters = await letter_store.forget_notices(tx, self.keep_letters, most=_AT_ONCE)
            webhooks = await delivery_store.forget_deliveries(tx, self.keep_webhooks, most=_AT_ONCE)
            removed = await delivery_store.forget_removed(tx, most=_AT_ONCE)
        # by itself: whoever settles locks an endpoint before its deliveries
        async with self.database.transaction() as tx:
            await endpoint_store.forget_removed(tx)
        return letters + webhooks + removed
