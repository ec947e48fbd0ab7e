"""What the API says of payments and refunds."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

import asyncpg
from common.http import Wire

from payment_service.domain.payment import Have, Kind, RefundStatus, Wanted
from payment_service.store.reads import Shown


class MoneyOut(Wire):
    """An amount in the currency's minor units."""

    amount: int
    currency: str


class RefundOut(Wire):
    """A part of the money on its way back."""

    refund_id: UUID
    order_id: UUID
    amount: MoneyOut | None
    status: RefundStatus
    code: str | None
    created_at: datetime
    settled_at: datetime | None

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(
            refund_id=row["refund_id"],
            order_id=row["order_id"],
            amount=_money(row),
            status=RefundStatus(row["status"]),
            code=row["code"],
            created_at=row["created_at"],
            settled_at=row["settled_at"],
        )


class ProviderOut(Wire):
    """How a payment stands with the provider, for staff."""

    authorization_id: str | None
    operation: Kind | None
    attempt: int
    next_at: datetime | None
    authorized_at: datetime | None

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(
            authorization_id=row["intent_id"],
            authorized_at=row["authorized_at"],
            operation=Kind(row["operation"]) if row["operation"] else None,
            attempt=row["attempt"],
            next_at=row["next_at"],
        )


class PaymentOut(Wire):
    """What is wanted of a payment, and what has been done; `provider` is for staff alone."""

    payment_id: UUID
    order_id: UUID
    wanted: Wanted
    have: Have
    amount: MoneyOut | None
    captured: int
    refunded: int
    code: str | None
    refunds: list[RefundOut]
    provider: ProviderOut | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, shown: Shown, *, for_staff: bool) -> Self:
        row = shown.payment
        return cls(
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            wanted=Wanted(row["wanted"]),
            have=Have(row["have"]),
            amount=_money(row),
            captured=row["captured"],
            refunded=row["refunded"],
            code=row["code"],
            refunds=[RefundOut.of(refund) for refund in shown.refunds],
            provider=ProviderOut.of(row) if for_staff else None,
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )


def _money(row: asyncpg.Record) -> MoneyOut | None:
    """Read an amount; before its order is heard of, a payment has none, and no currency."""
    if row["amount"] is None or row["currency"] is None:
        return None
    return MoneyOut(amount=row["amount"], currency=row["currency"])
