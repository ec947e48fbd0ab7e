"""What the provider can answer, and how long to wait before it is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from payment_service.domain.payment import AT_ONCE, Operation, Payment


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

    def retry(self, payment: Payment, times: int) -> timedelta:
        """Back off exponentially, each payment with a constant jitter of its own."""
        spread = 0.5 + payment.payment_id.int % 1024 / 2048
        # An exponent of more than 30 is over any cap, and a float's end is not far.
        delay: timedelta = self.first_retry * 2.0 ** min(times, 30)
        return min(delay, self.longest_retry) * spread
