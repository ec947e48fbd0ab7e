"""What docs/notifications.md shows is what today's code sends."""

import asyncio
import base64
import re
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography.fernet import Fernet
from notification_service.channels import envelope
from notification_service.channels.merchants import Merchants
from notification_service.channels.signing import Vault
from notification_service.channels.stationery import Stationery
from notification_service.domain.happenings import Happening, happening_of
from notification_service.domain.notices import Notice, Order
from notification_service.domain.words import Content
from notification_service.messages import Money, OrderConfirmed, OrderLine

DOCS = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
KEY = b"k" * 32


def shown(begin: str) -> str:
    """Find the transcript that begins so."""
    return found(rf"(?s)```\n({begin}.*?)\n```", DOCS)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None
    return match[1]


def test_the_letter_that_is_shown_is_the_one_that_we_write() -> None:
    letter = shown("From:")
    order_id = UUID(found(r"X-Pedido-Order: (\S+)", letter))
    line = OrderLine(sku="LANTERN", quantity=2, unit_price=Money(amount=339, currency="GBP"))
    order = Order(order_id, UUID(int=0), (line,), Money(amount=678, currency="GBP"))
    text = Stationery.load().write(Content("confirmed", "en", None, order))

    written = envelope.letter(
        Notice(order_id, "confirmed"),
        text,
        sender=found(r"From: (.+)", letter),
        to=found(r"To: (.+)", letter),
        eight_bit=True,
    )

    head, _, _ = written.decode().replace("\r\n", "\n").partition("\n\n")
    assert own(f"{head}\n\n{text.body}".rstrip("\n")) == own(letter)


def own(letter: str) -> str:
    """Leave out what differs from letter to letter."""
    date = r"Date: \w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000\n"
    assert re.search(date, letter)
    return re.sub(date, "", re.sub(r'boundary="=_[0-9a-f]{32}"', "boundary", letter))


async def test_the_call_that_is_shown_is_the_one_that_we_make() -> None:
    call = shown("POST ")
    body = call.partition("\n\n")[2]
    secret = base64.b64decode(found(r'"secret":"whsec_([^"]+)"', DOCS))
    event = happening_of(
        OrderConfirmed(order_id=UUID(found(r'"orderId":"([^"]+)"', body))),
        datetime.fromisoformat(found(r'"timestamp":"([^"]+)"', body)),
    )
    assert isinstance(event, Happening)
    headers = Vault(KEY).headers(
        [Fernet(base64.urlsafe_b64encode(KEY)).encrypt(secret)],
        UUID(found(r"webhook-id: (\S+)", call)),
        event.payload,
        now=datetime.fromtimestamp(int(found(r"webhook-timestamp: (\d+)", call))).astimezone(),
    )

    port, heard = await overheard(headers, event.payload)

    assert heard.replace("\r\n", "\n") == call.replace("33499", port)


async def overheard(headers: dict[str, str], payload: str) -> tuple[str, str]:
    """Make a call to a server that only listens; answers its port and all that it heard."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(payload)))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    async with (
        server,
        Merchants(timeout=timedelta(seconds=5), connections=1, private_allowed=True) as merchants,
    ):
        await merchants.post(f"http://127.0.0.1:{port}/hooks?shop=1", headers, payload)
    return port, heard[0].decode()
