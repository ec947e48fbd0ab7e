"""Orders as their owners see them, and their cancellation."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from common.auth import Principal, is_staff, owner_of
from common.database import Transaction
from common.errors import Refusal
from common.http import Moment, Router
from common.idempotency import IdempotencyKey, fingerprint
from common.openapi import refuses
from common.paging import Page, PageQuery, PagesOf
from fastapi import Query, Request, Response

from order_service import handlers, idempotency
from order_service.api.bodies import CancelBody
from order_service.api.conditional import CONDITIONAL, etag_of, is_known, unchanged
from order_service.api.parts import Caller, PartsOf, find_order
from order_service.api.shapes import (
    Links,
    OrderAccepted,
    OrderView,
    Timeline,
    TimelineEntry,
    replay,
)
from order_service.domain import CancelOrder, Status
from order_service.store import addresses, reads
from order_service.store.keys import KeyRow, Slot
from order_service.store.reads import OrderFilter

CANCEL_ROUTE = "POST /orders/{id}/cancel"

router = Router(tags=["orders"])


class OrderQuery(PageQuery):
    """Which orders to list; `customerId` is for staff."""

    status: Status | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    customer_id: UUID | None = None

    def filter_for(self, caller: Principal) -> OrderFilter:
        """Narrow the list to what the caller may see."""
        owner = owner_of(caller)
        if owner is not None and self.customer_id not in {None, owner}:
            raise Refusal("forbidden", "other customers' orders are for staff", status=403)
        return OrderFilter(
            owner=owner or self.customer_id,
            status=self.status,
            created_from=self.created_from,
            created_to=self.created_to,
        )


@router.get("/orders")
async def list_orders(
    query: Annotated[OrderQuery, Query()],
    caller: Caller,
    pages: PagesOf,
    parts: PartsOf,
) -> Page[OrderView]:
    """List orders, newest first."""
    wanted = query.filter_for(caller)
    after = pages.begin_in_time("orders", query)
    async with parts.database.transaction() as tx:
        rows = await reads.list_orders(tx, wanted, after=after, limit=query.limit + 1)
        shown, cursor = pages.cut(
            "orders", query, rows, lambda row: [row["created_at"].isoformat(), str(row["order_id"])]
        )
        lines = await reads.list_lines(tx, [row["order_id"] for row in shown])
    views = [OrderView.of(row, lines[row["order_id"]], parts.prefix) for row in shown]
    return Page(data=views, next_cursor=cursor)


@router.get("/orders/{order_id}", response_model=OrderView, responses=CONDITIONAL)
async def get_order(order_id: UUID, caller: Caller, parts: PartsOf, request: Request) -> Response:
    """Show an order; its ETag changes with everything that happens to it."""
    async with parts.database.transaction() as tx:
        row = await find_order(tx, order_id, caller)
        lines = await reads.list_lines(tx, [order_id])
        address = await addresses.find_address(tx, order_id)
    etag = etag_of(row["version"])
    if is_known(request, etag):
        return unchanged(etag)
    view = OrderView.of(row, lines[order_id], parts.prefix, address=address)
    return Response(view.model_dump_json(), headers={"ETag": etag}, media_type="application/json")


@router.get("/orders/{order_id}/timeline")
async def get_order_timeline(order_id: UUID, caller: Caller, parts: PartsOf) -> Timeline:
    """Tell everything that happened to an order, oldest first."""
    async with parts.database.transaction() as tx:
        await find_order(tx, order_id, caller)
        events = await reads.list_events(tx, order_id)
    return Timeline(data=[TimelineEntry.of(event) for event in events])


@router.post(
    "/orders/{order_id}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    response_model=OrderAccepted,
    responses=refuses(invalid_state=409),
)
async def cancel_order(
    order_id: UUID,
    key: IdempotencyKey,
    caller: Caller,
    parts: PartsOf,
    body: CancelBody | None = None,
) -> Response:
    """Ask for the end of an order; it is over when inventory and payment have answered."""
    accepted = OrderAccepted(
        order_id=order_id,
        status=Status.CANCELLING,
        message="The order is being cancelled; stock and money go back.",
        links=Links.of(parts.prefix, order_id),
    )
    row = KeyRow(
        slot=Slot(caller.id, CANCEL_ROUTE, key),
        fingerprint=fingerprint(body or CancelBody(), str(order_id)),
        status=HTTPStatus.ACCEPTED,
        body=accepted.model_dump_json().encode(),
        order_id=None,
    )
    command = CancelOrder(
        order_id=order_id,
        by="staff" if is_staff(caller) else "customer",
        principal=caller.id,
    )

    async def cancel(tx: Transaction) -> None:
        await handlers.cancel_order(tx, command, patience=parts.patience)

    return replay(await idempotency.once(parts.database, row, cancel))
