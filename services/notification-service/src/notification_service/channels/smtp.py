"""A connection to a mail server, over which one letter after another is handed over.

The library greets, encrypts and logs in. Then we speak ourselves, because it waits for an answer
after each command, also where the server takes them together.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias, cast, get_args
from urllib.parse import unquote, urlsplit

import aiosmtplib
from common.errors import ConfigurationError
from pydantic import SecretStr
from typing_extensions import override

About: TypeAlias = Literal["us", "recipient", "content"]
_ABOUT: tuple[About, ...] = get_args(About)

_SCHEMES = {"smtp": 25, "smtps": 465}
_TAKEN, _GO_ON = 2, 3
"""First digits of replies: done; and: now the content."""
_MOST_UNREAD = 32_768
"""Bytes of a reply without an end: whoever sends more is no mail server."""


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server says to one command; its text may repeat the address."""

    code: int
    text: str = field(repr=False)

    @property
    def kind(self) -> int:
        return self.code // 100


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply that decides about a letter, and what it is about."""

    about: About
    reply: Reply

    @property
    def taken(self) -> bool:
        return self.about == "content" and self.reply.kind == _TAKEN


class _Replies(asyncio.Protocol):
    """Collects the replies to the commands that were sent together."""

    def __init__(self) -> None:
        self._rest = b""
        self._wanted = 0
        self._got: list[Reply] = []
        self._all: asyncio.Future[list[Reply]] | None = None

    def expect(self, replies: int) -> asyncio.Future[list[Reply]]:
        """Wait for so many from now on."""
        self._rest, self._got, self._wanted = b"", [], replies
        self._all = asyncio.get_running_loop().create_future()
        return self._all

    @override
    def data_received(self, data: bytes) -> None:
        if self._all is None or self._all.done():
            return  # unasked, as from a server that is about to hang up: no answer to what follows
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_UNREAD:
            self._fail("an endless reply")
        for line in lines:
            if not line[:3].isdigit():
                self._fail("not a reply of SMTP")
            elif line[3:4] != b"-":
                self._got.append(Reply(int(line[:3]), line[4:].decode(errors="replace").strip()))
        if len(self._got) >= self._wanted and not self._all.done():
            self._all.set_result(self._got[: self._wanted])

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server hung up")

    def _fail(self, reason: str) -> None:
        if self._all and not self._all.done():
            self._all.set_exception(ConnectionResetError(reason))


class Connection:
    """Hands over one letter at a time."""

    def __init__(
        self, transport: asyncio.Transport, extensions: Sequence[str], timeout: float
    ) -> None:
        """Take over from whoever greeted the server."""
        self.eight_bit = "8bitmime" in extensions
        self.any_address = "smtputf8" in extensions
        """Whether it takes addresses that are not ASCII."""
        self._together = "pipelining" in extensions
        self._transport = transport
        self._timeout = timeout
        self._replies = _Replies()
        transport.set_protocol(self._replies)

    @classmethod
    async def to(cls, server: MailServer, timeout: float) -> Self:
        """Connect, greet, encrypt where that is offered, log in."""
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls,
            timeout=timeout,
        )
        await client.connect()
        if client.is_ehlo_or_helo_needed:  # it forgets what was offered when it encrypts
            await client.ehlo()
        if client.transport is None:
            raise ConnectionResetError
        return cls(cast("asyncio.Transport", client.transport), [*client.esmtp_extensions], timeout)

    @property
    def open(self) -> bool:
        return not self._transport.is_closing()

    async def hand_over(self, sender: str, recipient: str, letter: bytes) -> Answer:
        """Hand a letter over; raises OSError where the server does not answer.

        A connection lost after the last byte leaves the outcome unknown.
        """
        replies = await self._envelope(sender, recipient)
        for about, reply in zip(_ABOUT, replies, strict=False):
            if reply.kind != (_GO_ON if about == "content" else _TAKEN):
                await self._forget_envelope(asked_for_content=replies[-1].kind == _GO_ON)
                return Answer(about, reply)
        stuffed = letter.replace(b"\r\n.", b"\r\n..")
        (reply,) = await self._say(stuffed + b".\r\n", replies=1)
        return Answer("content", reply)

    async def _envelope(self, sender: str, recipient: str) -> list[Reply]:
        """Send all commands at once (RFC 2920) if the server takes them so, else one by one."""
        options = " BODY=8BITMIME" if self.eight_bit else ""
        options += "" if recipient.isascii() else " SMTPUTF8"
        commands = (
            f"MAIL FROM:<{sender}>{options}\r\n".encode(),
            f"RCPT TO:<{recipient}>\r\n".encode(),
            b"DATA\r\n",
        )
        if self._together:
            return await self._say(b"".join(commands), replies=len(commands))
        replies: list[Reply] = []
        for command in commands:
            replies += await self._say(command, replies=1)
            if replies[-1].kind not in {_TAKEN, _GO_ON}:
                break
        return replies

    async def _forget_envelope(self, *, asked_for_content: bool) -> None:
        """Make ready for the next letter; who asks for content to nobody gets none (RFC 2920)."""
        try:
            await self._say(b".\r\n" if asked_for_content else b"RSET\r\n", replies=1)
        except OSError:  # its answer about the letter stands
            self.close()

    async def _say(self, words: bytes, *, replies: int) -> list[Reply]:
        if not self.open:
            raise ConnectionResetError
        answered = self._replies.expect(replies)
        self._transport.write(words)
        async with asyncio.timeout(self._timeout):
            return await answered

    async def quit(self) -> None:
        """Leave politely, if the server still listens."""
        try:
            async with asyncio.timeout(1):
                await self._say(b"QUIT\r\n", replies=1)
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        self._transport.close()
