import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from uuid import UUID

import pytest
from common.errors import ConfigurationError
from notification_service.channels.mail import Email
from notification_service.channels.smtp import MailServer
from notification_service.domain.letters import Delivered, PutOff, Refused
from notification_service.domain.notices import Notice
from notification_service.domain.words import Text
from pydantic import SecretStr

from tests.support.postmaster import Postmaster, office_of

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
REFUND = UUID("0198f3a0-0003-7000-8000-000000000003")
NOTICE = Notice(ORDER, "refunded", str(REFUND))
TEXT = Text("Your refund", "We have given back £15.30. ¡Hola!\n", "<p>¡Hola!</p>\n")
ADA = "ada@example.com"


@asynccontextmanager
async def _channel(port: int, answer_timeout: float = 5.0) -> AsyncIterator[Email]:
    email = Email(
        MailServer("127.0.0.1", port, tls=False, username=None, password=None),
        "Pedido <orders@pedido.example>",
        timedelta(seconds=answer_timeout),
    )
    try:
        yield email
    finally:
        await email.close()


async def test_an_e_mail_arrives_with_its_own_message_id() -> None:
    async with office_of(Postmaster()) as office, _channel(office.port) as email:
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    message = message_from_bytes(office.postmaster.taken[0], policy=policy.default)
    parts = {
        part.get_content_type(): part.get_content().replace("\r\n", "\n")
        for part in message.iter_parts()
    }
    assert delivery == Delivered()
    assert message["Message-ID"] == f"<{ORDER}.refunded.{REFUND}@pedido>"
    assert message["X-Pedido-Kind"] == "refunded"
    assert message["To"] == ADA
    assert message.get_content_type() == "multipart/alternative"
    assert parts == {"text/plain": TEXT.body, "text/html": TEXT.html}


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
async def test_one_connection_carries_many_e_mails(*, together: bool) -> None:
    async with office_of(Postmaster(together=together)) as office, _channel(office.port) as email:
        for _ in range(5):
            await email.deliver(NOTICE, TEXT, ADA)

    assert len(office.postmaster.taken) == 5
    assert len(office.servers) == 1


async def test_an_idle_connection_that_the_server_closed_is_replaced() -> None:
    async with office_of(Postmaster()) as office, _channel(office.port) as email:
        await email.deliver(NOTICE, TEXT, ADA)
        office.hang_up()
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == Delivered()
    assert len(office.servers) == 2


def _bad_recipient(postmaster: Postmaster) -> None:
    postmaster.rcpt_answer = f"550 no such user {ADA}"


def _moved(postmaster: Postmaster) -> None:
    postmaster.rcpt_answer = "551 user not local"


def _closed_mailbox(postmaster: Postmaster) -> None:
    postmaster.rcpt_answer = "550 5.2.1 mailbox disabled"


def _policy(postmaster: Postmaster) -> None:
    postmaster.rcpt_answer = "550 5.7.1 we don't like your network"


def _full_mailbox(postmaster: Postmaster) -> None:
    postmaster.rcpt_answer = "452 mailbox full"


def _bad_content(postmaster: Postmaster) -> None:
    postmaster.data_answer = "554 looks like spam"


def _busy(postmaster: Postmaster) -> None:
    postmaster.data_answer = "451 try again"


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize(
    ("script", "answer"),
    [
        (_bad_recipient, Refused("smtp_550", bounced=True)),
        (_moved, Refused("smtp_551", bounced=True)),
        (_closed_mailbox, Refused("smtp_550", bounced=True)),
        (_policy, Refused("smtp_550")),
        (_full_mailbox, PutOff("smtp_452")),
        (_bad_content, Refused("smtp_554")),
        (_busy, PutOff("smtp_451")),
    ],
    ids=["no such user", "moved", "closed mailbox", "policy", "mailbox full", "spam", "busy"],
)
async def test_the_servers_answer_decides_and_the_connection_lives_on(
    script: Callable[[Postmaster], None], answer: object, *, together: bool
) -> None:
    postmaster = Postmaster(together=together)
    script(postmaster)
    async with office_of(postmaster) as office, _channel(office.port) as email:
        first = await email.deliver(NOTICE, TEXT, ADA)
        second = await email.deliver(NOTICE, TEXT, ADA)

        postmaster.rcpt_answer = postmaster.data_answer = "250 OK"
        third = await email.deliver(NOTICE, TEXT, ADA)

    assert [first, second, third] == [answer, answer, Delivered()]
    assert len(office.servers) == len(postmaster.taken) == 1


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
async def test_a_server_that_says_nothing_is_asked_again_later(*, together: bool) -> None:
    async with (
        office_of(Postmaster(silent=True, together=together)) as office,
        _channel(office.port, answer_timeout=0.2) as email,
    ):
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == PutOff("timeout")


async def test_a_server_that_answers_each_step_just_in_time_is_too_slow() -> None:
    async with (
        office_of(Postmaster(dawdle=0.17)) as office,
        _channel(office.port, answer_timeout=0.2) as email,
    ):
        delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == PutOff("timeout")
    assert not office.postmaster.taken


async def test_a_server_that_is_away_is_asked_again_later() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with _channel(unused.getsockname()[1]) as email:
            delivery = await email.deliver(NOTICE, TEXT, ADA)

    assert delivery == PutOff("server_away")


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ada@example.com\r\nBcc: eve@example.com", "bad_address"),
        ("not an address", "bad_address"),
        ("adä@example.com", "address_not_supported"),
    ],
    ids=["header injection", "no address", "not ASCII"],
)
async def test_an_address_that_can_not_be_written_to_is_refused(address: str, code: str) -> None:
    async with office_of(Postmaster()) as office, _channel(office.port) as email:
        delivery = await email.deliver(NOTICE, TEXT, address)

    assert delivery == Refused(code)
    assert office.postmaster.taken == []


def test_a_mail_server_is_read_from_its_address() -> None:
    server = MailServer.at(SecretStr("smtps://post%40man:s%3Acret@mail.example"))

    assert server == MailServer("mail.example", 465, True, "post@man", "s:cret")  # noqa: FBT003
    assert "s:cret" not in repr(server)


@pytest.mark.parametrize("url", ["http://mail.example", "smtp://", "mail.example:25"])
def test_an_address_that_is_no_mail_server_fails_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SMTP_URL"):
        MailServer.at(SecretStr(url))
