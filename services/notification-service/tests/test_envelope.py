"""The bytes of a letter, read back by the standard library."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from common.errors import ConfigurationError
from hypothesis import given, settings
from hypothesis import strategies as st
from notification_service.channels import envelope
from notification_service.domain.notices import Notice
from notification_service.domain.words import Text

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
NOTICE = Notice(ORDER, "confirmed")
TEXT = Text("Su pedido está confirmado", "¡Hola!\n.\n..two\n", "<p>¡Hola!</p>\n")
SENDER = "Señora Pedido <orders@pedido.example>"
ADA = "ada@example.com"


def read(
    text: Text = TEXT, notice: Notice = NOTICE, *, to: str = ADA, eight_bit: bool = True
) -> EmailMessage:
    written = envelope.letter(notice, text, sender=SENDER, to=to, eight_bit=eight_bit)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", written)
    assert max(map(len, written.split(b"\r\n"))) <= 998
    message = message_from_bytes(written, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def parts(message: EmailMessage) -> dict[str, str]:
    return {
        part.get_content_type(): part.get_content().replace("\r\n", "\n")
        for part in message.iter_parts()
        if isinstance(part, EmailMessage)
    }


def test_a_letter_has_the_headers_that_it_needs() -> None:
    message = read()

    assert dict(message.items()) | {"Content-Type": "", "Date": ""} == {
        "From": SENDER,
        "To": ADA,
        "Subject": TEXT.subject,
        "Date": "",
        "Message-ID": f"<{ORDER}.confirmed.-@pedido>",
        "X-Pedido-Order": str(ORDER),
        "X-Pedido-Kind": "confirmed",
        "X-Pedido-Subject": "-",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": "",
    }
    assert message.get_content_type() == "multipart/alternative"
    assert abs(message["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("eight_bit", "text", "encoding"),
    [
        (True, TEXT, "8bit"),
        (False, TEXT, "quoted-printable"),
        (True, replace(TEXT, body="ñ" * 2000 + "\n", html="<p>" * 999), "quoted-printable"),
    ],
    ids=["8 bit", "7 bit", "endless lines"],
)
def test_a_text_is_encoded_only_where_a_server_or_a_line_asks_for_it(
    text: Text, encoding: str, *, eight_bit: bool
) -> None:
    message = read(text, eight_bit=eight_bit)

    assert {each["Content-Transfer-Encoding"] for each in message.iter_parts()} == {encoding}
    assert parts(message) == {"text/plain": text.body, "text/html": text.html}


LINES = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@settings(deadline=None)
@given(body=LINES, html=LINES, eight_bit=st.booleans())
def test_no_text_ends_its_part_or_the_message(body: str, html: str, *, eight_bit: bool) -> None:
    message = read(Text("Hi", body, html), eight_bit=eight_bit)

    assert parts(message) == {"text/plain": _lines(body), "text/html": _lines(html)}


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x00", "\x85", "\u2028"])
@pytest.mark.parametrize("where", ["subject", "to", "about"])
def test_no_header_takes_a_second_line(where: str, end: str) -> None:
    smuggled = f"x{end}Bcc: eve@example.com"
    hostile: dict[str, Any] = {
        "subject": {"text": replace(TEXT, subject=smuggled)},
        "to": {"to": smuggled},
        "about": {"notice": replace(NOTICE, subject=smuggled)},
    }

    with pytest.raises(ValueError, match="would break its line"):
        read(**hostile[where])


@pytest.mark.parametrize("address", [ADA, "o'hara+shop=x@mail.example.com", "adä@exämple.com"])
def test_a_mailbox_is_an_address(address: str) -> None:
    assert envelope.is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "a@b@c",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        "ada@example.com> RCPT TO:<eve@example.com",
        "ada@example.com\r\nRCPT TO:<eve@example.com>",
        "ada@example.com\n",
        "ada\u2028@example.com",
        "a d a@example.com",
        "ada@example.com\x00",
        "a" * 65 + "@example.com",
    ],
)
def test_what_is_more_or_less_than_a_mailbox_is_no_address(address: str) -> None:
    assert not envelope.is_address(address)


@pytest.mark.parametrize("sender", ["", "Pedido", "a@b.example, c@d.example", "Pedido <orders@>"])
def test_a_sender_without_an_address_fails_at_start(sender: str) -> None:
    with pytest.raises(ConfigurationError, match="MAIL_SENDER"):
        envelope.mailbox(sender)
