"""What operators see of the sagas: begun, under way, stuck and done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from order_service.domain import Health, Order, Status

_DURATIONS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600)
"""From the quickest saga to twice the time after which one is called stuck."""

STARTED = Counter("pedido_saga_started_total", "Orders placed")
FINISHED = Counter("pedido_saga_finished_total", "Sagas that are over", ["outcome"])
DURATION = Histogram(
    "pedido_saga_duration_seconds", "From placed to over", ["outcome"], buckets=_DURATIONS
)
IN_FLIGHT = Gauge("pedido_saga_in_flight", "Orders that are not settled", ["status"])
STUCK = Gauge("pedido_saga_stuck", "Sagas that wait for an operator")
REFUNDING = Gauge(
    "pedido_refunds_oldest_open_age_seconds", "Age of the oldest refund without an end, or 0"
)
COMPENSATIONS = Counter("pedido_saga_compensations_total", "Closings begun", ["reason"])


def started(orders: int) -> None:
    STARTED.inc(orders)


def moved(changes: Iterable[tuple[Order, Order]]) -> None:
    """Count what the changes began and ended; a transaction that is tried again counts again."""
    for before, after in changes:
        if after.is_closed and not before.is_closed:
            COMPENSATIONS.labels(after.reason).inc()
        if after.settled_at is not None and before.settled_at is None:
            outcome = after.status.lower()
            FINISHED.labels(outcome).inc()
            DURATION.labels(outcome).observe((after.settled_at - after.created_at).total_seconds())


def refunding(oldest: float) -> None:
    REFUNDING.set(oldest)


def in_flight(counts: Mapping[tuple[str, str], int]) -> None:
    """Show the orders that are under way, those of no status as zero."""
    for status in Status:
        IN_FLIGHT.labels(status).set(sum(n for (name, _), n in counts.items() if name == status))
    STUCK.set(sum(n for (_, saga), n in counts.items() if saga == Health.STUCK))
