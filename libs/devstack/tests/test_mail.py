"""The mail sink keeps what it is given."""

import asyncio
import mailbox
import resource
import smtplib
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from devstack import mail
from devstack.processes import Processes
from invariants.mail import read_letters

LETTER = b"Message-ID: <%b@pedido>\r\n\r\n%b\r\n"
TOGETHER = b"MAIL FROM:<shop@pedido.example>\r\nRCPT TO:<ana@example.org>\r\nDATA\r\n"


async def test_each_letter_is_in_the_box(processes: Processes, tmp_path: Path) -> None:
    url = await mail.start(processes, tmp_path)

    await asyncio.to_thread(_send, url, "first", "second")

    stored = [
        message_from_bytes(letter, policy=policy.default) for letter in read_letters(tmp_path)
    ]
    assert [message["Message-ID"] for message in stored] == ["<first@pedido>", "<second@pedido>"]
    assert stored[0].get_content().strip() == "Gracias, señor."
    with closing(mailbox.mbox(tmp_path / mail.BOX)) as box:
        assert [letter["Message-ID"] for letter in box] == ["<first@pedido>", "<second@pedido>"]


async def test_what_is_said_together_is_answered_together(
    processes: Processes, tmp_path: Path
) -> None:
    url = await mail.start(processes, tmp_path)
    letter = LETTER % (b"one", b"Hello") + b".\r\n"

    said = await asyncio.to_thread(_say, url, TOGETHER + letter + TOGETHER + letter + b"QUIT\r\n")

    codes = [line[:3] for line in said.splitlines()]
    assert codes == [b"220", *[b"250", b"250", b"354", b"250"] * 2, b"221"]
    assert len(list(read_letters(tmp_path))) == 2


async def test_a_letter_in_pieces_is_one(processes: Processes, tmp_path: Path) -> None:
    url = await mail.start(processes, tmp_path)
    letter = LETTER % (b"one", b"Hello\r\n..\r\nFrom here on") + b".\r\n"

    await asyncio.to_thread(_say, url, TOGETHER, *letter.partition(b"\r\n..")[:2], b"\r\n")
    assert list(read_letters(tmp_path)) == []
    said = (TOGETHER, *[letter[at : at + 5] for at in range(0, len(letter), 5)], b"QUIT\r\n")
    await asyncio.to_thread(_say, url, *said)

    (kept,) = read_letters(tmp_path)
    assert kept.partition(b"\n\n")[2] == b"Hello\n.\n>From here on\n\n"


async def test_what_a_killed_sink_left_costs_no_other_letter(
    processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / mail.BOX).write_bytes(b"From sink\nMessage-ID: <ha")
    url = await mail.start(processes, tmp_path)

    await asyncio.to_thread(_send, url, "whole")

    half, whole = read_letters(tmp_path)
    assert half == b"Message-ID: <ha\n"
    assert b"<whole@pedido>" in whole


def test_of_a_letter_that_does_not_fit_nothing_is_kept(tmp_path: Path) -> None:
    with closing(mail.Box(tmp_path)) as box:
        box.keep(b"one\r\n")
        with _room_for(tmp_path / mail.BOX, 100), pytest.raises(OSError, match="No space"):
            box.keep(b"two" * 100 + b"\r\n")
        box.keep(b"three\r\n")

    assert [letter.splitlines()[1] for letter in read_letters(tmp_path)] == [b"one", b"three"]


@contextmanager
def _room_for(file: Path, more: int) -> Iterator[None]:
    """Let no file of this process grow beyond that one's size and so many bytes more."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + more, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def _send(url: str, *identities: str) -> None:
    address = urlsplit(url)
    with smtplib.SMTP(address.hostname or "", address.port or 0) as server:
        for identity in identities:
            message = EmailMessage()
            message["From"], message["To"] = "shop@pedido.example", "ana@example.org"
            message["Message-ID"] = f"<{identity}@pedido>"
            message.set_content("Gracias, señor.\n")
            server.send_message(message)


def _say(url: str, *pieces: bytes) -> bytes:
    """Send one piece after the other; answer all that the server says until it hangs up."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        if not pieces[-1].endswith(b"QUIT\r\n"):
            return b""
        with client.makefile("rb") as answers:
            return answers.read()
