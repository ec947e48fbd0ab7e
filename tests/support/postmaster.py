"""A mail server of a test: real SMTP, with opinions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Postmaster:
    """A mail server's opinions, and what it took."""

    rcpt_answer: str = "250 OK"
    data_answer: str = "250 OK"
    taken: list[bytes] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    silent: bool = False
    dawdle: float = 0
    """Seconds before each answer."""
    together: bool = False
    """Whether it takes commands that are sent together."""
    eight_bit: bool = True
    drops: int = 0
    """How many times more it takes a message and hangs up instead of saying so."""

    async def handle_EHLO(  # noqa: N802
        self,
        _server: SMTP,
        session: Session,
        _envelope: Envelope,
        hostname: str,
        offered: list[str],
    ) -> list[str]:
        session.host_name = hostname
        kept = [each for each in offered if self.eight_bit or "8BITMIME" not in each]
        return [*kept[:-1], *(["250-PIPELINING"] if self.together else []), kept[-1]]

    async def handle_MAIL(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        await asyncio.sleep(self.dawdle)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if session not in self.sessions:
            self.sessions.append(session)
        await asyncio.sleep(self.dawdle)
        if self.rcpt_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt_answer

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        if self.silent:
            await asyncio.sleep(30)
        await asyncio.sleep(self.dawdle)
        if self.data_answer.startswith("250"):
            self.taken.append(envelope.original_content or b"")
        if self.drops and server.transport is not None:
            self.drops -= 1
            server.transport.close()
        return self.data_answer


@dataclass
class Office:
    """A running mail server."""

    postmaster: Postmaster
    port: int
    servers: list[SMTP]

    def hang_up(self) -> None:
        """Drop every connection, as a server does with one that idles."""
        for server in self.servers:
            if server.transport is not None:
                server.transport.close()


@asynccontextmanager
async def office_of(postmaster: Postmaster) -> AsyncIterator[Office]:
    servers: list[SMTP] = []

    def accept() -> SMTP:
        servers.append(SMTP(postmaster, enable_SMTPUTF8=False, hostname="mail.test"))
        return servers[-1]

    listening = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    office = Office(postmaster, listening.sockets[0].getsockname()[1], servers)
    try:
        yield office
    finally:
        office.hang_up()
        listening.close()
        await listening.wait_closed()
