"""The provider and the mail server as every asynchronous peer calls them."""

import os
from email.message import EmailMessage
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

import aiohttp
import aiosmtplib
from shop import Order

GATEWAY = os.environ.get("PAYMENT_GATEWAY_URL", "")
KEY = os.environ.get("PAYMENT_GATEWAY_KEY", "")
MAIL = urlsplit(os.environ.get("SMTP_URL", ""))
PAYMENT_REQUIRED = 402
SECONDS = 10


class Declined(Exception):
    """The provider refuses this payment for good."""


def authorisation(order: Order) -> str:
    """Write the form that holds an order's money."""
    return urlencode(
        {
            "amount": order.amount,
            "currency": "gbp",
            "payment_method": "pm_card_visa",
            "confirm": "true",
            "capture_method": "manual",
            "metadata[order_id]": order.order_id,
        }
    )


def headers(order: Order, operation: str) -> dict[str, str]:
    """Give each operation its own idempotency key: a repeated call does nothing new."""
    return {
        "Authorization": f"Bearer {KEY}",
        "Idempotency-Key": f"{order.order_id}:{operation}",
        "Content-Type": "application/x-www-form-urlencoded",
    }


def letter(order: Order) -> EmailMessage:
    """Write the one e-mail; its Message-ID is the same however often it is sent."""
    message = EmailMessage()
    message["From"] = "shop@example.com"
    message["To"] = order.email
    message["Subject"] = "Your order is complete"
    message["Message-ID"] = f"<{order.order_id}@shop.example.com>"
    message["X-Order"] = order.order_id
    message.set_content(f"We have charged {order.amount / 100:.2f} GBP. Thank you.\n")
    return message


class Outside:
    """Connections to both that are kept for the next call; `async with Outside()`."""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SECONDS), cookie_jar=aiohttp.DummyCookieJar()
        )
        self._idle: list[aiosmtplib.SMTP] = []
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def charge(self, order: Order) -> str:
        """Hold the money, take it, and return the intent's id; raises Declined."""
        intents = f"{GATEWAY}/v1/payment_intents"
        form, head = authorisation(order), headers(order, "authorise")
        async with self._http.post(intents, data=form, headers=head) as answer:
            if answer.status == PAYMENT_REQUIRED:
                raise Declined(order.order_id)
            answer.raise_for_status()
            intent: str = (await answer.json())["id"]
        head = headers(order, "capture")
        async with self._http.post(f"{intents}/{intent}/capture", data="", headers=head) as answer:
            answer.raise_for_status()
            await answer.read()
        return intent

    async def send(self, order: Order) -> None:
        """Hand the e-mail over, on a connection that is kept."""
        connection = self._idle.pop() if self._idle else await self._connect()
        await connection.send_message(letter(order))
        self._idle.append(connection)

    async def _connect(self) -> aiosmtplib.SMTP:
        connection = aiosmtplib.SMTP(hostname=MAIL.hostname, port=MAIL.port, timeout=SECONDS)
        await connection.connect()
        return connection
