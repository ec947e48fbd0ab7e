"""Sends what is due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from common import telemetry
from common.database import Database
from common.due import DueLoop

from notification_service import handlers
from notification_service.channels import Channel
from notification_service.domain import words
from notification_service.domain.letters import Delivered, Delivery, Letter, Unwanted
from notification_service.store import letters as letter_store

POLL = timedelta(milliseconds=250)
"""How late a notice may be found that another process wrote, or that waited for a customer."""

MARGIN = timedelta(seconds=15)
"""Beyond the longest attempt: a lease that ends earlier would send the e-mail twice.

Not more: what a killed process had leased waits so long for another one.
"""

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Sender:
    """Hands due letters to their channel and settles what came of it."""

    database: Database
    channel: Channel
    give_up_after: timedelta

    def loop(self, *, concurrency: int) -> DueLoop[Letter, Delivery]:
        return DueLoop(
            "sending",
            database=self.database,
            lease=letter_store.lease_letters,
            work=self.send,
            settle=self.settle,
            concurrency=concurrency,
            lease_for=self.channel.longest_attempt + MARGIN,
            poll=POLL,
            bell=letter_store.SENDING_BELL,
        )

    async def send(self, letter: Letter) -> Delivery:
        """Make one attempt."""
        address = letter.customer.address
        if address is None:
            return Unwanted("customer_erased")
        delivery = await self.channel.deliver(letter.notice, words.write(letter), address)
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

    async def settle(self, attempts: Sequence[tuple[Letter, Delivery]]) -> None:
        await handlers.settle_letters(self.database, attempts, give_up_after=self.give_up_after)
