"""What one attempt to call a merchant's endpoint means for the delivery and for the endpoint."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Literal, TypeAlias
from uuid import UUID

DeliveryStatus = Literal["PENDING", "DELIVERED", "FAILED"]
EndpointStatus = Literal["ACTIVE", "DISABLED"]
DeliveryOutcome = Literal[
    "delivered",
    "refused",
    "redirected",
    "timeout",
    "connection_failed",
    "connection_lost",
    "tls_failed",
    "name_unknown",
    "address_refused",
    "not_http",
    "secret_unreadable",
]

_OK = range(200, 300)
_REDIRECT = range(300, 400)
_GONE = 410
_SPREAD = 0.2
"""Of a delay: what failed together is not tried again together."""
_LONGEST_RETRY_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One happening on its way to one endpoint, leased for one attempt."""

    delivery_id: UUID
    endpoint_id: UUID
    url: str
    sealed_secrets: tuple[bytes, ...] = field(repr=False)
    """The one in use and, for a while after a rotation, the one before; encrypted."""
    payload: str
    attempt: int
    token: UUID
    lease_ends: float
    """By `time.monotonic()`: afterwards another process may send it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The endpoint answered."""

    status: int
    latency: timedelta
    retry_after: timedelta = timedelta(0)

    @property
    def outcome(self) -> DeliveryOutcome:
        if self.status in _OK:
            return "delivered"
        return "redirected" if self.status in _REDIRECT else "refused"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer came, and why."""

    outcome: DeliveryOutcome
    latency: timedelta


@dataclass(frozen=True, slots=True)
class Untried:
    """Its turn came too late: the lease might have ended before the attempt did."""


Call: TypeAlias = Answered | Unanswered | Untried


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt leaves in the delivery's row and in its log."""

    delivery_id: UUID
    endpoint_id: UUID
    token: UUID
    status: DeliveryStatus
    delay: timedelta
    outcome: DeliveryOutcome | None
    status_code: int | None
    latency: timedelta
    gone: bool = False
    """The merchant says that the endpoint is no more."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a batch of attempts shows of one endpoint."""

    endpoint_id: UUID
    works: bool
    gone: bool


def settle(
    delivery: Delivery, call: Call, *, schedule: Sequence[timedelta], luck: float
) -> Settlement:
    """Decide what an attempt means; `luck`, from 0 to 1, spreads what is tried again."""
    if isinstance(call, Untried):
        return _settlement(delivery, "PENDING", timedelta(), call)
    if call.outcome == "delivered":
        return _settlement(delivery, "DELIVERED", timedelta(), call)
    if delivery.attempt > len(schedule):
        return _settlement(delivery, "FAILED", timedelta(), call)
    delay = schedule[delivery.attempt - 1] * (1 + _SPREAD * luck)
    if isinstance(call, Answered):
        delay = max(delay, min(call.retry_after, _LONGEST_RETRY_AFTER))
    return _settlement(delivery, "PENDING", delay, call)


def health_of(settlements: Iterable[Settlement]) -> list[Health]:
    """Tell of each endpoint whether it works: one success among failures says that it does."""
    tried = sorted((each for each in settlements if each.outcome), key=_endpoint)
    return [
        Health(
            endpoint_id,
            works=any(each.status == "DELIVERED" for each in group),
            gone=any(each.gone for each in group),
        )
        for endpoint_id, group in ((key, list(found)) for key, found in groupby(tried, _endpoint))
    ]


def _settlement(
    delivery: Delivery, status: DeliveryStatus, delay: timedelta, call: Call
) -> Settlement:
    answered = call if isinstance(call, Answered) else None
    return Settlement(
        delivery.delivery_id,
        delivery.endpoint_id,
        delivery.token,
        status,
        delay,
        None if isinstance(call, Untried) else call.outcome,
        answered.status if answered else None,
        timedelta() if isinstance(call, Untried) else call.latency,
        gone=answered is not None and answered.status == _GONE,
    )


def _endpoint(settlement: Settlement) -> UUID:
    return settlement.endpoint_id
