"""Refunds: asked for by staff, and seen by the order's owner too."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import orjson
from common.auth import Principal, Staff, owner_of
from common.database import Transaction
from common.http import Router
from common.idempotency import IdempotencyKey, fingerprint
from common.message import uuid7
from common.openapi import refuses
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query, Response

from order_service import handlers, idempotency
from order_service.api.bodies import RefundBody
from order_service.api.parts import Caller, PartsOf
from order_service.api.shapes import RefundAccepted, RefundLinks, RefundView, replay
from order_service.domain import RefundState
from order_service.store import reads, refunds
from order_service.store.keys import KeyRow, Slot

ROUTE = "POST /orders/{id}/refunds"

router = Router(tags=["refunds"])


@router.post(
    "/orders/{order_id}/refunds",
    status_code=HTTPStatus.ACCEPTED,
    response_model=RefundAccepted,
    responses=refuses(invalid_state=409, over_refund=422, currency_mismatch=422),
)
async def request_refund(
    order_id: UUID, body: RefundBody, key: IdempotencyKey, staff: Staff, parts: PartsOf
) -> Response:
    """Give money back for a completed order; what becomes of it is at `links.self`."""
    refund_id = uuid7()
    command = body.command(refund_id=refund_id, order_id=order_id, by=staff.id)
    accepted = RefundAccepted(
        refund_id=refund_id,
        order_id=order_id,
        state=RefundState.REQUESTED,
        message="The refund is on its way; the payment provider has the last word.",
        links=RefundLinks.of(parts.prefix, order_id, refund_id),
    )
    row = KeyRow(
        slot=Slot(staff.id, ROUTE, key),
        fingerprint=fingerprint(body, str(order_id)),
        status=HTTPStatus.ACCEPTED,
        body=accepted.model_dump_json().encode(),
        order_id=None,
    )

    async def request(tx: Transaction) -> None:
        await handlers.request_refund(tx, command, patience=parts.patience)

    answer = await idempotency.once(parts.database, row, request)
    return replay(answer, location=orjson.loads(answer.body)["links"]["self"])


@router.get("/orders/{order_id}/refunds")
async def list_refunds(
    order_id: UUID,
    query: Annotated[PageQuery, Query()],
    caller: Caller,
    pages: PagesOf,
    parts: PartsOf,
) -> Page[RefundView]:
    """List an order's refunds, newest first; also the one that a cancellation made."""
    listing = f"refunds of {order_id}"
    after = pages.begin_in_time(listing, query)
    async with parts.database.transaction() as tx:
        await _refuse_strangers(tx, order_id, caller)
        found = await refunds.list_page(tx, order_id, after=after, limit=query.limit + 1)
    shown, cursor = pages.cut(
        listing, query, found, lambda each: [each.requested_at.isoformat(), str(each.refund_id)]
    )
    views = [RefundView.of(refund, parts.prefix) for refund in shown]
    return Page(data=views, next_cursor=cursor)


@router.get("/orders/{order_id}/refunds/{refund_id}")
async def get_refund(order_id: UUID, refund_id: UUID, caller: Caller, parts: PartsOf) -> RefundView:
    """Tell where a refund stands."""
    async with parts.database.transaction() as tx:
        await _refuse_strangers(tx, order_id, caller)
        found = await refunds.get_refunds(tx, [refund_id])
    if not found or found[0].order_id != order_id:
        raise not_found()
    return RefundView.of(found[0], parts.prefix)


async def _refuse_strangers(tx: Transaction, order_id: UUID, caller: Principal) -> None:
    if await reads.find_order(tx, order_id, owner_of(caller)) is None:
        raise not_found()
