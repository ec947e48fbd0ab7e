"""What was sent to merchants' endpoints and what came of it, for staff."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from common.auth import Staff
from common.http import Router, Wire
from common.openapi import refuses
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query, Request, Response

from notification_service import handlers
from notification_service.api.parts import PartsOf
from notification_service.domain.deliveries import DeliveryOutcome, DeliveryStatus
from notification_service.domain.happenings import EventType
from notification_service.store import deliveries, endpoints
from notification_service.store.deliveries import DeliveryFilter, Row

router = Router(prefix="/webhooks", tags=["webhooks"])


class DeliveryQuery(PageQuery):
    """Which of an endpoint's deliveries to list."""

    status: DeliveryStatus | None = None
    order_id: UUID | None = None


class Delivery(Wire):
    """One message to one endpoint; its id is the `webhook-id`."""

    delivery_id: UUID
    endpoint_id: UUID
    order_id: UUID
    type: EventType
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    settled_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(_members(row), strict=False)


class Attempt(Wire):
    """One call: what was answered, and how long it took."""

    at: datetime
    outcome: DeliveryOutcome
    status_code: int | None
    latency_ms: int


class DeliveryWithLog(Delivery):
    """One message to one endpoint as it is sent, with every call that was made, oldest first."""

    payload: str
    log: list[Attempt]


def _members(row: Row) -> dict[str, object]:
    return {
        "delivery_id": row["delivery_id"],
        "endpoint_id": row["endpoint_id"],
        "order_id": row["order_id"],
        "type": row["type"],
        "status": row["status"],
        "attempts": row["attempt"],
        "next_attempt_at": row["due_at"] if row["status"] == "PENDING" else None,
        "created_at": row["created_at"],
        "settled_at": row["settled_at"],
    }


@router.get("/endpoints/{endpoint_id}/deliveries")
async def list_webhook_deliveries(
    endpoint_id: UUID,
    query: Annotated[DeliveryQuery, Query()],
    _caller: Staff,
    pages: PagesOf,
    parts: PartsOf,
) -> Page[Delivery]:
    """List what was or is to be sent to an endpoint, newest first."""
    listing = f"deliveries {endpoint_id}"
    last = pages.begin(listing, query)
    before = int(last[0]) if last else None
    wanted = DeliveryFilter(endpoint_id, query.status, query.order_id)
    async with parts.database.transaction() as tx:
        if await endpoints.find_endpoint(tx, endpoint_id) is None:
            raise not_found()
        rows = await deliveries.list_deliveries(tx, wanted, before=before, limit=query.limit + 1)
    shown, cursor = pages.cut(listing, query, rows, lambda row: [str(row["seq"])])
    return Page(data=[Delivery.of(row) for row in shown], next_cursor=cursor)


@router.get("/deliveries/{delivery_id}")
async def get_webhook_delivery(
    delivery_id: UUID, _caller: Staff, parts: PartsOf
) -> DeliveryWithLog:
    """Show a delivery with what is sent and every call that was made."""
    async with parts.database.transaction() as tx:
        row = await deliveries.find_delivery(tx, delivery_id)
        if row is None:
            raise not_found()
        log = await deliveries.list_attempts(tx, delivery_id)
    members = {**_members(row), "payload": row["payload"], "log": [dict(each) for each in log]}
    return DeliveryWithLog.model_validate(members, strict=False)


@router.post(
    "/deliveries/{delivery_id}/redeliver",
    status_code=HTTPStatus.ACCEPTED,
    responses=refuses(invalid_state=409),
)
async def redeliver_webhook(
    delivery_id: UUID, caller: Staff, request: Request, response: Response, parts: PartsOf
) -> Delivery:
    """Make a delivery due now, whatever became of it; it keeps its `webhook-id`."""
    async with parts.database.transaction() as tx:
        row = await handlers.redeliver(tx, delivery_id, principal=caller.id)
    if row is None:
        raise not_found()
    response.headers["Location"] = request.url.path.removesuffix("/redeliver")
    return Delivery.of(row)
