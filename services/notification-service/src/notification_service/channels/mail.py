"""E-mail: how a text reaches a person, and what the mail server's answer means."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.headerregistry import BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
from common.errors import ConfigurationError
from pydantic import SecretStr
from typing_extensions import override

from notification_service.domain.letters import Delivered, Delivery, PutOff, Refused
from notification_service.domain.notices import Notice
from notification_service.domain.words import Text

_OWN_TO_EACH = frozenset({"To", "Message-ID", "X-Pedido-Order"})


class _Headers(HeaderRegistry):
    """Parses what all e-mails have in common once: headers are most of what building one costs."""

    @override
    def __call__(self, name: str, value: str) -> BaseHeader:
        return super().__call__(name, value) if name in _OWN_TO_EACH else _parsed(name, value)

    @override
    def __getitem__(self, name: str) -> type[BaseHeader]:
        return _kind(name)


_REGISTRY = HeaderRegistry()
_kind = lru_cache(maxsize=64)(_REGISTRY.__getitem__)
"""The library makes a class anew for each header of each message."""
_parsed = lru_cache(maxsize=256)(_REGISTRY)

# the library's default of 78 would encode a Message-ID that is longer than a line
_POLICY = SMTP.clone(max_line_length=998, header_factory=_Headers())

_PERMANENT = 500
_NO_SUCH_MAILBOX = frozenset({550, 551, 553})
_ENHANCED = re.compile(r"5\.(\d{1,3}\.\d{1,3})(?!\S)")
_GONE = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
"""RFC 3463 and RFC 7505: bad mailbox, system or syntax, moved, no mail at all, disabled."""
_SCHEMES = {"smtp": 25, "smtps": 465}


class Channel(Protocol):
    """A way to a person."""

    @property
    def longest_attempt(self) -> timedelta:
        """How long one delivery can take; a lease must be longer."""

    async def deliver(self, notice: Notice, text: Text, address: str) -> Delivery:
        """Hand a message over once; every expected failure is an answer, not an exception."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where and as whom e-mail is handed over."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)

    @classmethod
    def at(cls, url: SecretStr) -> "MailServer":
        """Read smtp:// and smtps:// addresses; raises ConfigurationError for any other."""
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ConfigurationError(
                ["SMTP_URL: write it as smtp://user:password@host:port, or smtps://…"]
            )
        return cls(
            parts.hostname,
            parts.port or _SCHEMES[parts.scheme],
            parts.scheme == "smtps",
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
        )


@dataclass
class Email:
    """Hands e-mails to one server over connections that are kept for the next ones."""

    server: MailServer
    sender: str
    timeout: timedelta
    _idle: list[aiosmtplib.SMTP] = field(default_factory=list, init=False)

    @property
    def longest_attempt(self) -> timedelta:
        """Bound a whole attempt: a server that answers each step just in time is too slow, too."""
        return 2 * self.timeout

    async def deliver(self, notice: Notice, text: Text, address: str) -> Delivery:
        """Hand one e-mail over.

        A connection lost after the last byte leaves the outcome unknown: the next attempt carries
        the same Message-ID.
        """
        try:
            async with asyncio.timeout(self.longest_attempt.total_seconds()):
                return await self._attempt(notice, text, address)
        except TimeoutError as error:
            return _meaning(error)

    async def _attempt(self, notice: Notice, text: Text, address: str) -> Delivery:
        try:
            message = self._message(notice, text, address)
            return await self._hand_over(message, fresh=False)
        except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
            # the server may have closed what was idle: that is no news about it
            return await self._try_fresh(message)
        except ValueError:  # our header and the library's command check what would smuggle more in
            return Refused("bad_address")
        except (aiosmtplib.SMTPException, OSError) as error:
            return _meaning(error)

    async def _try_fresh(self, message: EmailMessage) -> Delivery:
        try:
            return await self._hand_over(message, fresh=True)
        except (aiosmtplib.SMTPException, OSError) as error:
            return _meaning(error)

    async def close(self) -> None:
        """Leave the server politely, if it still listens."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.quit(timeout=1)
            except (aiosmtplib.SMTPException, OSError):
                connection.close()

    def _message(self, notice: Notice, text: Text, address: str) -> EmailMessage:
        message = EmailMessage(policy=_POLICY)
        message["From"] = self.sender
        message["To"] = address
        message["Subject"] = text.subject
        message["Message-ID"] = notice.message_id
        message["X-Pedido-Order"] = str(notice.order_id or "-")
        message["X-Pedido-Kind"] = notice.kind
        message["X-Pedido-Subject"] = notice.subject or "-"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text.body)
        message.add_alternative(text.html, subtype="html")
        return message

    async def _hand_over(self, message: EmailMessage, *, fresh: bool) -> Delivered:
        async with self._connection(fresh=fresh) as connection:
            await connection.send_message(message)
        return Delivered()

    @asynccontextmanager
    async def _connection(self, *, fresh: bool) -> AsyncIterator[aiosmtplib.SMTP]:
        """Lend a connection; it is kept only if the server still answers on it afterwards."""
        connection = self._idle.pop() if self._idle and not fresh else await self._connect()
        try:
            yield connection
        except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused):
            self._keep(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._keep(connection)

    def _keep(self, connection: aiosmtplib.SMTP) -> None:
        if connection.is_connected:
            self._idle.append(connection)

    async def _connect(self) -> aiosmtplib.SMTP:
        connection = aiosmtplib.SMTP(
            hostname=self.server.host,
            port=self.server.port,
            username=self.server.username,
            password=self.server.password,
            use_tls=self.server.tls,
            timeout=self.timeout.total_seconds(),
        )
        await connection.connect()
        return connection


def _meaning(error: Exception) -> Delivery:
    """Read the server's answer by its code: its text may repeat the address."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[refused, *_]):
            return _of_recipient(refused.code, refused.message)
        case aiosmtplib.SMTPDataError():
            return _by_code(error.code)
        case aiosmtplib.SMTPNotSupported():
            return Refused("address_not_supported")
        case aiosmtplib.SMTPResponseException():
            # about us (greeting, login, sender), not about this message
            return PutOff(f"smtp_{error.code}")
        case TimeoutError():
            return PutOff("timeout")
        case _:
            return PutOff("server_away")


def _of_recipient(code: int, text: str) -> Delivery:
    """Tell an address that does not exist from one that is refused for what we are or send."""
    if code < _PERMANENT:
        return PutOff(f"smtp_{code}")
    enhanced = _ENHANCED.match(text)
    gone = enhanced[1] in _GONE if enhanced else code in _NO_SUCH_MAILBOX
    return Refused(f"smtp_{code}", bounced=gone)


def _by_code(code: int) -> Delivery:
    return Refused(f"smtp_{code}") if code >= _PERMANENT else PutOff(f"smtp_{code}")
