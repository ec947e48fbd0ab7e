"""The mail sink keeps what it is given."""

import asyncio
import smtplib
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

from devstack import mail
from devstack.processes import Processes


async def test_each_message_becomes_one_file(processes: Processes, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    url = await mail.start(processes, folder)

    await asyncio.to_thread(_send, url, "first", "second")

    stored = [
        message_from_bytes(path.read_bytes(), policy=policy.default)
        for path in sorted(folder.iterdir())
    ]
    assert [message["Message-ID"] for message in stored] == ["<first@pedido>", "<second@pedido>"]
    assert [path.suffix for path in folder.iterdir()] == [".eml", ".eml"]
    assert stored[0].get_content().splitlines() == ["Gracias, señor."]


def _send(url: str, *identities: str) -> None:
    address = urlsplit(url)
    with smtplib.SMTP(address.hostname or "", address.port or 0) as server:
        for identity in identities:
            message = EmailMessage()
            message["From"], message["To"] = "shop@pedido.example", "ana@example.org"
            message["Message-ID"] = f"<{identity}@pedido>"
            message.set_content("Gracias, señor.\n")
            server.send_message(message)
