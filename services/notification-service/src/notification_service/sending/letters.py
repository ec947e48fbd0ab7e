"""Sends the letters that are due."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from common import telemetry
from common.database import Database
from common.due import DueLoop

from notification_service import handlers
from notification_service.channels.mail import Channel
from notification_service.channels.stationery import Stationery
from notification_service.domain.letters import Attempt, Delivered, Letter, Untried, Unwanted
from notification_service.store import letters as letter_store

POLL = timedelta(seconds=1)
"""How late a notice may be found that another process wrote, or that waited for a customer."""

TURN = timedelta(seconds=10)
"""How long a leased letter may wait for its turn.

Not more: what a killed process had leased waits so much longer for another one.
"""
LEASE_MARGIN = timedelta(seconds=5)
"""Left of a lease beyond the longest attempt: nobody else may send while we still could."""

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Sender:
    """Hands due letters to their channel and settles what came of it."""

    database: Database
    channel: Channel
    stationery: Stationery
    give_up_after: timedelta

    def loop(self, *, concurrency: int) -> DueLoop[Letter, Attempt]:
        return DueLoop(
            "sending",
            database=self.database,
            lease=letter_store.lease_letters,
            work=self.send,
            settle=self.settle,
            concurrency=concurrency,
            lease_for=self.channel.longest_attempt + TURN + LEASE_MARGIN,
            poll=POLL,
            bell=letter_store.SENDING_BELL,
        )

    @property
    def _needed(self) -> float:
        return (self.channel.longest_attempt + LEASE_MARGIN).total_seconds()

    async def send(self, letter: Letter) -> Attempt:
        """Make one attempt, unless the lease may end before the attempt does."""
        if letter.lease_ends - time.monotonic() < self._needed:
            return Untried()
        address = letter.customer.address
        if address is None:
            return Unwanted("customer_erased")
        text = self.stationery.write(letter.content)
        delivery = await self.channel.deliver(letter.notice, text, address)
        if not isinstance(delivery, Delivered):
            _log.warning(
                "e-mail not delivered",
                order_id=letter.notice.order_id,
                kind=letter.notice.kind,
                attempt=letter.attempt,
                outcome=type(delivery).__name__,
                code=delivery.code,
            )
        return delivery

    async def settle(self, attempts: Sequence[tuple[Letter, Attempt]]) -> None:
        await handlers.settle_letters(self.database, attempts, give_up_after=self.give_up_after)
