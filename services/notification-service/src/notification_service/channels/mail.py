"""E-mail: how a text reaches a person, and what the mail server's answer means."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import aiosmtplib

from notification_service.channels import envelope
from notification_service.channels.smtp import Answer, Connection, MailServer, Reply
from notification_service.domain.letters import Delivered, Delivery, PutOff, Refused
from notification_service.domain.notices import Notice
from notification_service.domain.words import Text

_PERMANENT = 500
_NO_SUCH_MAILBOX = frozenset({550, 551, 553})
_ENHANCED = re.compile(r"5\.(\d{1,3}\.\d{1,3})(?!\S)")
_GONE = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
"""RFC 3463 and RFC 7505: bad mailbox, system or syntax, moved, no mail at all, disabled."""


class Channel(Protocol):
    """A way to a person."""

    @property
    def longest_attempt(self) -> timedelta:
        """How long one delivery can take; a lease must be longer."""

    async def deliver(self, notice: Notice, text: Text, address: str) -> Delivery:
        """Hand a message over once; every expected failure is an answer, not an exception."""

    async def close(self) -> None:
        """Leave: nothing more is to be handed over."""


@dataclass
class Email:
    """Hands e-mails to one server over connections that are kept for the next ones."""

    server: MailServer
    sender: str
    timeout: timedelta
    _idle: list[Connection] = field(default_factory=list, init=False)
    _mailbox: str = field(init=False)

    def __post_init__(self) -> None:
        """Read the sender's address; raises ConfigurationError where there is none."""
        self._mailbox = envelope.mailbox(self.sender)

    @property
    def longest_attempt(self) -> timedelta:
        """Bound a whole attempt: a server that answers each step just in time is too slow, too."""
        return 2 * self.timeout

    async def deliver(self, notice: Notice, text: Text, address: str) -> Delivery:
        """Hand one e-mail over.

        A connection lost after the last byte leaves the outcome unknown: the next attempt carries
        the same Message-ID.
        """
        if not envelope.is_address(address):
            return Refused("bad_address")
        try:
            async with asyncio.timeout(self.longest_attempt.total_seconds()):
                return await self._attempt(notice, text, address)
        except (aiosmtplib.SMTPException, OSError) as error:
            return _why_not(error)

    async def _attempt(self, notice: Notice, text: Text, address: str) -> Delivery:
        try:
            return await self._hand_over(notice, text, address, fresh=False)
        except ConnectionError:
            # the server may have closed what was idle: that is no news about it
            return await self._hand_over(notice, text, address, fresh=True)

    async def _hand_over(
        self, notice: Notice, text: Text, address: str, *, fresh: bool
    ) -> Delivery:
        """Hand it over on a connection that is kept if the server still answers afterwards."""
        connection = self._idle.pop() if self._idle and not fresh else await self._connect()
        try:
            delivery = await self._hand_to(connection, notice, text, address)
        except BaseException:
            connection.close()
            raise
        if connection.open:
            self._idle.append(connection)
        return delivery

    async def _hand_to(
        self, connection: Connection, notice: Notice, text: Text, address: str
    ) -> Delivery:
        if not (address.isascii() or connection.any_address):
            return Refused("address_not_supported")
        try:
            letter = envelope.letter(
                notice, text, sender=self.sender, to=address, eight_bit=connection.eight_bit
            )
        except ValueError:
            return Refused("bad_header")
        return _meaning(await connection.hand_over(self._mailbox, address, letter))

    async def _connect(self) -> Connection:
        return await Connection.to(self.server, self.timeout.total_seconds())

    async def close(self) -> None:
        """Leave the server, on all connections at once: it may be silent."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))


def _why_not(error: aiosmtplib.SMTPException | OSError) -> PutOff:
    """Say why there was no answer about the letter itself."""
    match error:
        case aiosmtplib.SMTPResponseException():
            return PutOff(f"smtp_{error.code}")
        case TimeoutError():
            return PutOff("timeout")
        case _:
            return PutOff("server_away")


def _meaning(answer: Answer) -> Delivery:
    """Read the server's answer by its code: its text may repeat the address."""
    if answer.taken:
        return Delivered()
    match answer.about:
        case "us":
            return PutOff(f"smtp_{answer.reply.code}")
        case "recipient":
            return _of_recipient(answer.reply)
        case "content":
            return _by_code(answer.reply.code)


def _of_recipient(reply: Reply) -> Delivery:
    """Tell an address that does not exist from one that is refused for what we are or send."""
    if reply.code < _PERMANENT:
        return PutOff(f"smtp_{reply.code}")
    enhanced = _ENHANCED.match(reply.text)
    gone = enhanced[1] in _GONE if enhanced else reply.code in _NO_SUCH_MAILBOX
    return Refused(f"smtp_{reply.code}", bounced=gone)


def _by_code(code: int) -> Delivery:
    return Refused(f"smtp_{code}") if code >= _PERMANENT else PutOff(f"smtp_{code}")
