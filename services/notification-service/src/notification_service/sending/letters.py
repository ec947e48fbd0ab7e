"""Sends the letters that are due."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

from common import telemetry
from common.database import Database
from common.due import Bottom, DueLoop

from notification_service import handlers
from notification_service.channels.mail import Channel
from notification_service.channels.stationery import Stationery
from notification_service.domain import letters
from notification_service.domain.addresses import Digests
from notification_service.domain.letters import (
    Attempt,
    Delivered,
    Letter,
    PutOff,
    Untried,
    Unwanted,
)
from notification_service.domain.words import Text
from notification_service.store import letters as letter_store

POLL = timedelta(seconds=1)
"""How late a notice may be found that another process wrote, or that waited for a customer."""

TURN = timedelta(seconds=10)
"""How long a leased letter may wait for its turn.

Not more: what a killed process had leased waits so much longer for another one.
"""
LEASE_MARGIN = timedelta(seconds=5)
"""Left of a lease beyond the longest attempt: nobody else may send while we still could."""

GATHERING = timedelta(milliseconds=50)
"""How long an outcome waits for others, as long as there are any.

The recipient's next letter waits for it, and then for the next look, up to POLL later: settling
rings no bell, as a lease for each settlement would cost everybody more than this costs a few.
What was sent in that time is sent again after a kill.
"""

Round: TypeAlias = tuple[Letter, ...]
"""Letters to one recipient, in the order in which they are to arrive."""

_log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Sender:
    """Hands due letters to their channel and settles what came of it."""

    database: Database
    channel: Channel
    stationery: Stationery
    digests: Digests
    give_up_after: timedelta
    concurrency: int
    bottom: Bottom = field(default_factory=partial(Bottom, letter_store.BOTTOM))

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is due until told to stop, then leave the channel."""
        try:
            await self.loop().run(stop)
        finally:
            await self.channel.close()

    def loop(self) -> DueLoop[Round, Sequence[Attempt]]:
        return DueLoop(
            "sending",
            database=self.database,
            lease=self.lease,
            work=self.send,
            settle=self.settle,
            concurrency=self.concurrency,
            lease_for=self.channel.longest_attempt + TURN + LEASE_MARGIN,
            poll=POLL,
            bell=letter_store.SENDING_BELL,
            busy=2,
            gathering=GATHERING,
            look=self.look,
        )

    async def look(self) -> bool:
        """Tell whether anything may be due."""
        since = await self.bottom.find(self.database.fetch)
        return await letter_store.are_letters_due(self.database, since)

    async def lease(
        self, database: Database, limit: int, token: UUID, lease_for: timedelta
    ) -> list[Round]:
        """Lease due letters, a round for each recipient."""
        since = await self.bottom.find(database.fetch)
        async with database.transaction() as tx:
            leased = await letter_store.lease_letters(tx, limit, token, lease_for, since)
            digests = {each.notice_id: self._digest(each) for each in leased}
            wanted = list(digests.values())
            bounced = await letter_store.find_bounced(tx, wanted) if leased else set()
        ordered = sorted(
            (_marked(each, bounced=digests[each.notice_id] in bounced) for each in leased),
            key=_recipient,
        )
        return [tuple(letters) for _, letters in groupby(ordered, key=_recipient)]

    async def send(self, letters: Round) -> list[Attempt]:
        """Try a round in order; what follows one that is put off waits with it.

        All are written first: a letter that can't be must not cost the news that one was sent.
        """
        texts = [self.stationery.write(letter.content) for letter in letters]
        attempts: list[Attempt] = []
        for letter, text in zip(letters, texts, strict=True):
            waits = bool(attempts) and isinstance(attempts[-1], PutOff | Untried)
            attempts.append(Untried() if waits else await self._try(letter, text))
        return attempts

    async def settle(self, rounds: Sequence[tuple[Round, Sequence[Attempt]]]) -> None:
        attempts = [pair for letters, made in rounds for pair in zip(letters, made, strict=True)]
        await handlers.settle_letters(
            self.database, attempts, digests=self.digests, give_up_after=self.give_up_after
        )

    def _digest(self, letter: Letter) -> bytes:
        return self.digests.of(letter.customer.address or "")

    async def _try(self, letter: Letter, text: Text) -> Attempt:
        """Make one attempt, unless the lease may end before the attempt does."""
        if letter.lease_ends - time.monotonic() < self._needed:
            return Untried()
        address = letters.address_of(letter)
        if isinstance(address, Unwanted):
            return address
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

    @property
    def _needed(self) -> float:
        return (self.channel.longest_attempt + LEASE_MARGIN).total_seconds()


def _marked(letter: Letter, *, bounced: bool) -> Letter:
    return replace(letter, customer=replace(letter.customer, bounced=bounced))


def _recipient(letter: Letter) -> UUID:
    return letter.customer.customer_id
