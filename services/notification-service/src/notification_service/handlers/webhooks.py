"""Use cases about webhooks: outcomes of calls, and what staff does with endpoints."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID

from common import audit, telemetry
from common.database import Database, Transaction
from common.errors import Refusal
from prometheus_client import Counter

from notification_service.domain import deliveries
from notification_service.domain.deliveries import Call, Delivery, Settlement
from notification_service.store import deliveries as delivery_store
from notification_service.store import endpoints as endpoint_store
from notification_service.store.deliveries import WEBHOOK_BELL
from notification_service.store.endpoints import EndpointChange, NewEndpoint, Row

MOST_ENDPOINTS = 50
"""Everything that happens is written once for each: more would be a queue, not a courtesy."""

_ATTEMPTS = Counter(
    "pedido_webhook_attempts_total", "Calls of merchants' endpoints by outcome", ("outcome",)
)
_DISABLED = Counter(
    "pedido_webhook_endpoints_disabled_total", "Endpoints given up by themselves", ("reason",)
)

_log = telemetry.get_logger()


async def settle_deliveries(
    database: Database,
    calls: Sequence[tuple[Delivery, Call]],
    *,
    schedule: Sequence[timedelta],
    disable_after: timedelta,
) -> None:
    """Write what the calls mean, log them, and give up endpoints that are no more: all or none."""
    settlements = [
        deliveries.settle(delivery, call, schedule=schedule, luck=random.random())  # noqa: S311
        for delivery, call in calls
    ]
    async with database.transaction() as tx:
        await endpoint_store.lock_endpoints(tx, {each.endpoint_id for each in settlements})
        written = await delivery_store.save_settlements(tx, settlements)
        standing = [each for each in settlements if each.delivery_id in written and each.outcome]
        await delivery_store.add_attempts(tx, standing)
        put_off = [each.delivery_id for each in standing if each.status == "PENDING"]
        if put_off:
            await delivery_store.hold_back(tx, put_off)
        found = deliveries.health_of(standing)
        changed = await endpoint_store.save_health(tx, found, disable_after=disable_after)
        # what follows a delivery of the same order is due now
        tx.ring(WEBHOOK_BELL)
    _count(standing, changed)


def _count(settlements: Sequence[Settlement], changed: Sequence[Row]) -> None:
    for settlement in settlements:
        _ATTEMPTS.labels(settlement.outcome).inc()
    for row in changed:
        if row["status"] == "DISABLED":
            _DISABLED.labels(row["disabled_reason"]).inc()
            _log.error(
                "webhook endpoint disabled", key=row["endpoint_id"], reason=row["disabled_reason"]
            )


async def add_endpoint(tx: Transaction, new: NewEndpoint, *, principal: UUID) -> Row:
    """Add an endpoint; it hears what happens from now on. Refuses when there are too many."""
    row = await endpoint_store.add_endpoint(tx, new, most=MOST_ENDPOINTS)
    if row is None:
        detail = f"there are {MOST_ENDPOINTS} endpoints already; remove one first"
        raise Refusal("invalid_state", detail, status=HTTPStatus.CONFLICT)
    await _audit(tx, principal, "add-webhook-endpoint", new.endpoint_id)
    return row


async def change_endpoint(
    tx: Transaction, endpoint_id: UUID, change: EndpointChange, *, principal: UUID
) -> Row | None:
    """Change an endpoint; one made active again gets what was pending, not what it missed."""
    row = await endpoint_store.change_endpoint(tx, endpoint_id, change)
    if row is not None:
        await _audit(tx, principal, "change-webhook-endpoint", endpoint_id)
        tx.ring(WEBHOOK_BELL)
    return row


async def remove_endpoint(tx: Transaction, endpoint_id: UUID, *, principal: UUID) -> bool:
    """Remove an endpoint, whose deliveries go bit by bit; answers whether there was one."""
    removed = await endpoint_store.remove_endpoint(tx, endpoint_id)
    if removed:
        await _audit(tx, principal, "remove-webhook-endpoint", endpoint_id)
    return removed


async def rotate_secret(
    tx: Transaction, endpoint_id: UUID, sealed: bytes, *, overlap: timedelta, principal: UUID
) -> datetime | None:
    """Replace an endpoint's secret; answers until when the one before signs, too."""
    until = await endpoint_store.rotate_secret(tx, endpoint_id, sealed, overlap=overlap)
    if until is not None:
        await _audit(tx, principal, "rotate-webhook-secret", endpoint_id)
    return until


async def redeliver(tx: Transaction, delivery_id: UUID, *, principal: UUID) -> Row | None:
    """Make a delivery due now, whatever became of it; refuses while its endpoint is disabled."""
    row = await delivery_store.find_delivery(tx, delivery_id)
    if row is None:
        return None
    if row["endpoint_status"] == "DISABLED":
        raise Refusal("invalid_state", "the endpoint is disabled; make it active first")
    await endpoint_store.lock_endpoints(tx, {row["endpoint_id"]})
    await delivery_store.make_due(tx, delivery_id)
    await _audit(tx, principal, "redeliver-webhook", delivery_id)
    tx.ring(WEBHOOK_BELL)
    return await delivery_store.find_delivery(tx, delivery_id)


async def _audit(tx: Transaction, principal: UUID, action: str, target: UUID) -> None:
    await audit.write(tx, principal, action, target=str(target), note=None, before={}, after={})
