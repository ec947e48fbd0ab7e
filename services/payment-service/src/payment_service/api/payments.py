"""Payments and refunds: a customer's own, and everybody's for staff."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from common.auth import is_staff, owner_of
from common.http import Moment, Router
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query

from payment_service.api.parts import Caller, DatabaseOf
from payment_service.api.shapes import PaymentOut, RefundOut
from payment_service.domain.payment import Have
from payment_service.store import reads
from payment_service.store.reads import PaymentFilter

router = Router(tags=["payments"])


class PaymentQuery(PageQuery):
    """Which payments to list."""

    order_id: UUID | None = None
    have: Have | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None


@router.get("/payments")
async def list_payments(
    query: Annotated[PaymentQuery, Query()], caller: Caller, database: DatabaseOf, pages: PagesOf
) -> Page[PaymentOut]:
    """List payments with their refunds, newest first; an order has at most one."""
    wanted = PaymentFilter(
        owner=owner_of(caller),
        order_id=query.order_id,
        have=query.have,
        created_from=query.created_from,
        created_to=query.created_to,
    )
    after = pages.begin_in_time("payments", query)
    async with database.transaction() as tx:
        rows = await reads.list_payments(tx, wanted, after=after, limit=query.limit + 1)
    shown, cursor = pages.cut(
        "payments",
        query,
        rows,
        lambda row: [row.payment["created_at"].isoformat(), str(row.payment["order_id"])],
    )
    data = [PaymentOut.of(each, for_staff=is_staff(caller)) for each in shown]
    return Page(data=data, next_cursor=cursor)


@router.get("/payments/{payment_id}")
async def get_payment(payment_id: UUID, caller: Caller, database: DatabaseOf) -> PaymentOut:
    """Show one payment with its refunds."""
    async with database.transaction() as tx:
        shown = await reads.find_payment(tx, payment_id, owner_of(caller))
    if shown is None:
        raise not_found()
    return PaymentOut.of(shown, for_staff=is_staff(caller))


@router.get("/refunds/{refund_id}")
async def get_refund(refund_id: UUID, caller: Caller, database: DatabaseOf) -> RefundOut:
    """Show where a refund stands."""
    async with database.transaction() as tx:
        row = await reads.find_refund(tx, refund_id, owner_of(caller))
    if row is None:
        raise not_found()
    return RefundOut.of(row)
