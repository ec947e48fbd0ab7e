"""The conversation with a mail server, byte by byte, against servers with bad manners."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import pytest
from notification_service.channels.mail import Email
from notification_service.channels.smtp import MailServer
from notification_service.domain.letters import Delivered, PutOff, Refused
from notification_service.domain.notices import Notice
from notification_service.domain.words import Text
from typing_extensions import override

NOTICE = Notice(UUID("0198f3a0-0001-7000-8000-000000000001"), "confirmed")
TEXT = Text("Hi", "Hello\n.\n.. dots\n", "<p>Hello</p>\n")
ADA = "ada@example.com"
HELLO = b"250-mail.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
OK = b"250 OK\r\n"
GO_ON = b"354 go on\r\n"


class Script:
    """A server that answers each write of ours with the next of its lines."""

    def __init__(self, *answers: bytes, hello: bytes = HELLO) -> None:
        self.answers = [hello, *answers]
        self.heard: list[bytes] = []
        self.sessions: list[asyncio.Task[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions.append(asyncio.create_task(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        while self.answers and (said := await reader.read(100_000)):
            self.heard.append(said)
            await self.say(writer, self.answers.pop(0))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def say(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        writer.write(answer)


@asynccontextmanager
async def channel_to(script: Script) -> AsyncIterator[Email]:
    server = await asyncio.start_server(script.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    email = Email(
        MailServer("127.0.0.1", port, tls=False, username=None, password=None),
        "Pedido <orders@pedido.example>",
        timedelta(seconds=2),
    )
    try:
        yield email
    finally:
        await email.close()
        server.close()
        await asyncio.wait_for(asyncio.gather(*script.sessions), timeout=10)


async def test_a_server_that_takes_commands_together_hears_two_things_for_a_letter() -> None:
    script = Script(OK + OK + GO_ON, OK)
    async with channel_to(script) as email:
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    _, commands, content = script.heard[:3]
    assert delivery == Delivered()
    assert commands == (
        b"MAIL FROM:<orders@pedido.example> BODY=8BITMIME\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"
    )
    assert content.endswith(b"--\r\n.\r\n")
    assert b"\r\n..\r\n... dots\r\n" in content


async def test_a_server_that_does_not_say_so_is_spoken_to_command_by_command() -> None:
    script = Script(OK, OK, GO_ON, OK, hello=b"250 mail.test\r\n")
    async with channel_to(script) as email:
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == Delivered()
    assert script.heard[1:4] == [
        b"MAIL FROM:<orders@pedido.example>\r\n",
        b"RCPT TO:<ada@example.com>\r\n",
        b"DATA\r\n",
    ]


async def test_content_that_is_asked_for_to_nobody_is_not_sent() -> None:
    refused = b"550-5.1.1 no\r\n550 5.1.1 such user\r\n"
    script = Script(OK + refused + GO_ON, b"554 no recipients\r\n", OK + OK + GO_ON, OK)
    async with channel_to(script) as email:
        first = await email.deliver(NOTICE, TEXT, ADA)
        second = await email.deliver(NOTICE, TEXT, ADA)

    assert [first, second] == [Refused("smtp_550", bounced=True), Delivered()]
    assert script.heard[2] == b".\r\n"
    assert len(script.sessions) == 1


async def test_a_refused_sender_is_no_news_about_the_recipient() -> None:
    script = Script(b"550 5.7.1 not you\r\n503 MAIL first\r\n503 MAIL first\r\n", OK)
    async with channel_to(script) as email:
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == PutOff("smtp_550")
    assert script.heard[2] == b"RSET\r\n"


async def test_an_answer_stands_also_when_the_server_hangs_up_after_it() -> None:
    script = Script(OK + b"550 5.1.1 no such user\r\n" + b"503 RCPT first\r\n")
    async with channel_to(script) as email:
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == Refused("smtp_550", bounced=True)


@pytest.mark.parametrize(
    "reply", [b"hello?\r\n", b"2" * 40_000, b"\r\n", b"250-" + b"x" * 40_000], ids=repr
)
async def test_what_is_no_reply_ends_the_connection(reply: bytes) -> None:
    script = Script(reply[:40_000], HELLO, reply[:40_000])
    async with channel_to(script) as email:
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == PutOff("server_away")
    assert len(script.sessions) == 2


async def test_what_a_server_says_unasked_answers_no_letter() -> None:
    script = Script(OK + OK + GO_ON, OK + b"250 again\r\n" * 3, b"451 later\r\n" * 3, OK)
    async with channel_to(script) as email:
        first = await email.deliver(NOTICE, TEXT, ADA)
        second = await email.deliver(NOTICE, TEXT, ADA)

    assert [first, second] == [Delivered(), PutOff("smtp_451")]


async def test_replies_may_come_in_pieces() -> None:
    class Stuttering(Script):
        @override
        async def say(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
            for each in answer:
                writer.write(bytes([each]))
                await asyncio.sleep(0)

    async with channel_to(Stuttering(OK + b"250-one\r\n250 two\r\n" + GO_ON, OK)) as email:
        assert await email.deliver(NOTICE, TEXT, ADA) == Delivered()
