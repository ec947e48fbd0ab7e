"""What one attempt to deliver a notice means."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias
from uuid import UUID

from notification_service.domain import preferences, words
from notification_service.domain.notices import Notice, Order
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
    muted: frozenset[str] = frozenset()
    bounced: bool = False
    """A mail server said that the address does not exist."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice whose recipient is known, leased for one attempt."""

    notice_id: UUID
    notice: Notice
    order: Order | None
    customer: Customer
    token: UUID
    attempt: int
    age: timedelta
    """Since it was owed, or asked for again."""
    lease_ends: float
    """By `time.monotonic()`: afterwards another process may send it."""

    @property
    def content(self) -> Content:
        """What it says, and in which language."""
        return Content(
            kind=self.notice.kind,
            language=words.spoken(self.customer.language),
            name=self.customer.name,
            order=self._shown,
            money=self.notice.money,
        )

    @property
    def _shown(self) -> Order | None:
        offer = self.notice.offer
        return self.order.cut_to(offer) if self.order and offer else self.order


@dataclass(frozen=True, slots=True)
class Delivered:
    """The channel took it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The channel will never take it, and says why by a code."""

    code: str
    bounced: bool = False
    """It is the address that does not exist: nothing else sent there will arrive either."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """The channel may take it later."""

    code: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    """There is nobody to write to, or nobody who wants it."""

    code: str


@dataclass(frozen=True, slots=True)
class Untried:
    """Its turn came too late, or one before it to the same recipient is put off."""


Delivery: TypeAlias = Delivered | Refused | PutOff | Unwanted
Attempt: TypeAlias = Delivery | Untried
NoticeStatus = Literal["PENDING", "SENT", "FAILED", "SUPPRESSED"]
Outcome = Literal["delivered", "refused", "put_off", "suppressed"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt leaves in the notice's row and in the log, and what is announced."""

    notice_id: UUID
    token: UUID
    status: NoticeStatus
    reason: str | None
    delay: timedelta
    outcome: Outcome | None
    event: NotificationSent | NotificationFailed | NotificationSuppressed | None
    bounced: str | None = field(default=None, repr=False)
    """The address that does not exist."""


def address_of(letter: Letter) -> str | Unwanted:
    """Answer the address to write to, or why the letter is not even to be tried."""
    customer = letter.customer
    if customer.address is None:
        return Unwanted("customer_erased")
    if customer.bounced:
        return Unwanted("address_suppressed")
    if preferences.is_muted(letter.notice.kind, customer.muted):
        return Unwanted("muted")
    return customer.address


def settle(letter: Letter, attempt: Attempt, *, give_up_after: timedelta) -> Settlement:
    """Decide what an attempt means: told, never to be told, or to be tried again later."""
    match attempt:
        case Delivered():
            return _ended(letter, "SENT", None, outcome="delivered")
        case Unwanted(code):
            return _ended(letter, "SUPPRESSED", code, outcome="suppressed")
        case Refused(code, bounced):
            gone = letter.customer.address if bounced else None
            return _ended(letter, "FAILED", code, outcome="refused", bounced=gone)
        case Untried():
            return _waiting(letter, None, timedelta(), outcome=None)
        case PutOff(code) if letter.age >= give_up_after:
            return _ended(letter, "FAILED", f"gave_up_after_{code}", outcome="put_off")
        case PutOff(code):
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(letter.attempt, 16))
            return _waiting(letter, code, delay, outcome="put_off")


def _waiting(
    letter: Letter, reason: str | None, delay: timedelta, *, outcome: Outcome | None
) -> Settlement:
    return Settlement(letter.notice_id, letter.token, "PENDING", reason, delay, outcome, None)


def _ended(
    letter: Letter,
    status: Literal["SENT", "FAILED", "SUPPRESSED"],
    reason: str | None,
    *,
    outcome: Outcome,
    bounced: str | None = None,
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
    return Settlement(
        letter.notice_id, letter.token, status, reason, timedelta(), outcome, event, bounced
    )
