"""HTTP in and out: what staff may see of the money of an order."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from common.auth import caller
from common.database import Database
from common.http import Params, Router, Wire
from fastapi import Depends, Query, Request

from payment_service import handlers
from payment_service.domain.payment import Have, Kind, RefundStatus, Wanted
from payment_service.store.reads import Shown

router = Router(tags=["payments"], dependencies=[Depends(caller("staff", "admin", "operator"))])


class PaymentFilter(Params):
    """Whose payment is asked for; anything else in the query is refused."""

    order_id: UUID


class MoneyOut(Wire):
    """An amount in the currency's minor units."""

    amount: int
    currency: str


class RefundOut(Wire):
    """A part of the money on its way back."""

    refund_id: UUID
    amount: MoneyOut
    status: RefundStatus
    code: str | None
    created_at: datetime
    settled_at: datetime | None


class PaymentOut(Wire):
    """What is wanted of a payment, what the provider has done, and what it is asked next."""

    payment_id: UUID
    order_id: UUID
    wanted: Wanted
    have: Have
    amount: MoneyOut | None
    captured: int
    refunded: int
    authorization_id: str | None
    code: str | None
    operation: Kind | None
    attempt: int
    next_at: datetime | None
    refunds: list[RefundOut]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, shown: Shown) -> Self:
        row = dict(shown.payment)
        currency = row["currency"]

        def money(amount: int | None) -> dict[str, object] | None:
            return None if amount is None else {"amount": amount, "currency": currency}

        refunds = [{**dict(refund), "amount": money(refund["amount"])} for refund in shown.refunds]
        values = {
            **row,
            "amount": money(row["amount"]),
            "authorization_id": row["intent_id"],
            "refunds": [_only(RefundOut, refund) for refund in refunds],
        }
        return cls.model_validate(_only(cls, values), strict=False)


class PaymentList(Wire):
    """All payments of one order: one, or none yet."""

    data: list[PaymentOut]
    next_cursor: None = None


def _only(shape: type[Wire], values: dict[str, object]) -> dict[str, object]:
    return {name: values[name] for name in shape.model_fields}


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


DatabaseOf = Annotated[Database, Depends(_database)]


@router.get("/payments")
async def list_payments(
    query: Annotated[PaymentFilter, Query()], database: DatabaseOf
) -> PaymentList:
    """List an order's payment with its refunds."""
    shown = await handlers.list_payments(database, query.order_id)
    return PaymentList(data=[PaymentOut.of(each) for each in shown])


@router.get("/payments/{payment_id}")
async def show_payment(payment_id: UUID, database: DatabaseOf) -> PaymentOut:
    """Show one payment with its refunds."""
    return PaymentOut.of(await handlers.show_payment(database, payment_id))
