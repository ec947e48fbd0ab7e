"""What one attempt to deliver a notice means."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias
from uuid import UUID

from notification_service.domain import words
from notification_service.domain.notices import Notice, NoticeKey, Order
from notification_service.domain.words import Content
from notification_service.messages import (
    NotificationFailed,
    NotificationSent,
    NotificationSuppressed,
)

FIRST_DELAY = timedelta(seconds=1)
"""A grey-listing or restarting mail server is often back within seconds."""
LONGEST_DELAY = timedelta(minutes=15)
"""What mail servers wait between attempts themselves."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom a letter goes to; no address once the customer is erased."""

    customer_id: UUID
    address: str | None = field(repr=False)
    name: str | None = field(repr=False)
    language: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice whose order and customer are known, leased for one attempt."""

    notice: Notice
    order: Order
    customer: Customer
    token: UUID
    attempt: int
    age: timedelta
    lease_ends: float
    """By `time.monotonic()`: afterwards another process may send it."""

    @property
    def content(self) -> Content:
        """What it says, and in which language."""
        return Content(
            kind=self.notice.kind,
            language=words.spoken(self.customer.language),
            name=self.customer.name,
            order=self.order,
            money=self.notice.money,
        )


@dataclass(frozen=True, slots=True)
class Delivered:
    """The channel took it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The channel will never take it, and says why by a code."""

    code: str


@dataclass(frozen=True, slots=True)
class PutOff:
    """The channel may take it later."""

    code: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    """There is nobody to write to."""

    code: str


@dataclass(frozen=True, slots=True)
class Untried:
    """Its turn came too late: the lease might have ended before the attempt did."""


Delivery: TypeAlias = Delivered | Refused | PutOff | Unwanted
Attempt: TypeAlias = Delivery | Untried
NoticeStatus = Literal["PENDING", "SENT", "FAILED", "SUPPRESSED"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt leaves in the notice's row, and what is announced."""

    key: NoticeKey
    token: UUID
    status: NoticeStatus
    reason: str | None
    delay: timedelta
    event: NotificationSent | NotificationFailed | NotificationSuppressed | None


def settle(letter: Letter, attempt: Attempt, *, give_up_after: timedelta) -> Settlement:
    """Decide what an attempt means: told, never to be told, or to be tried again later."""
    match attempt:
        case Delivered():
            return _ended(letter, "SENT", None)
        case Unwanted(code):
            return _ended(letter, "SUPPRESSED", code)
        case Refused(code):
            return _ended(letter, "FAILED", code)
        case Untried():
            return Settlement(letter.notice.key, letter.token, "PENDING", None, timedelta(), None)
        case PutOff(code) if letter.age >= give_up_after:
            return _ended(letter, "FAILED", f"gave_up_after_{code}")
        case PutOff(code):
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(letter.attempt, 16))
            return Settlement(letter.notice.key, letter.token, "PENDING", code, delay, None)


def _ended(
    letter: Letter, status: Literal["SENT", "FAILED", "SUPPRESSED"], reason: str | None
) -> Settlement:
    notice = letter.notice
    told = {
        "order_id": notice.order_id,
        "customer_id": letter.customer.customer_id,
        "kind": notice.kind,
        "subject": notice.subject,
        "channel": "email",
        "language": letter.content.language,
        "template": notice.kind,
    }
    event: NotificationSent | NotificationFailed | NotificationSuppressed
    if status == "SENT":
        event = NotificationSent.model_validate(told)
    elif status == "FAILED":
        event = NotificationFailed.model_validate(told | {"reason": reason})
    else:
        event = NotificationSuppressed.model_validate(told | {"reason": reason})
    return Settlement(notice.key, letter.token, status, reason, timedelta(), event)
