"""What the provider is asked, what it can answer, and how long to wait before it is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from payment_service.domain.payment import AT_ONCE, Operation


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The provider did it."""

    intent_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider refused for good: an answer, not an error."""

    code: str


@dataclass(frozen=True, slots=True)
class Overtaken:
    """What was to be given up had been captured after all."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider may have done it, or not; `look` when the key will never tell."""

    reason: str
    look: bool = False
    after: timedelta = AT_ONCE


@dataclass(frozen=True, slots=True)
class Untouched:
    """A look at the provider's own records shows nothing of this attempt."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The provider took no notice of the call, or there was none."""

    reason: str
    after: timedelta = AT_ONCE
    called: bool = True


Answer = Succeeded | Declined | Overtaken | Unknown | Untouched | Postponed


@dataclass(frozen=True, slots=True)
class Errand:
    """One leased attempt, with all that the provider needs to be told."""

    order_id: UUID
    payment_id: UUID
    operation: Operation
    number: int
    calls: int
    token: UUID
    lease_ends: float
    """By this process's monotonic clock."""
    must_look: bool
    """The key can't tell any more, so no call is made."""
    amount: int
    """Of the payment, or of the refund."""
    currency: str
    payment_method: str
    intent_id: str | None
    called_from: datetime
    called_to: datetime
    """When earlier calls with this key were made, or came late: where to look for their effect."""
    is_late: bool = False
    """The authorisation is about to end: what has not been captured is not any more."""

    @property
    def key(self) -> str:
        """Name the attempt to the provider: never two operations under one key."""
        kind = self.operation.kind.lower()
        refund = f":{self.operation.refund_id}" if self.operation.refund_id else ""
        return f"{self.payment_id}:{kind}{refund}:{self.number}"

    def report(self, answer: Answer) -> Report:
        return Report(self.order_id, self.operation, self.number, self.token, answer)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one leased attempt."""

    order_id: UUID
    operation: Operation
    number: int
    token: UUID
    answer: Answer


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before the provider is asked again."""

    first_retry: timedelta
    longest_retry: timedelta
    look_again: timedelta
    late_look: timedelta
    luck: float = 1.0
    """Which part of a delay is waited, drawn for each answer: full jitter keeps calls apart."""

    def retry(self, times: int) -> timedelta:
        """Wait up to twice as long after each call."""
        # An exponent of more than 30 is over any cap, and a float's end is not far.
        longest: timedelta = self.first_retry * 2.0 ** min(times, 30)
        return min(longest, self.longest_retry) * self.luck
