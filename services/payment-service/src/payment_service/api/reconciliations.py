"""Comparisons with the provider's list: asked for by staff, read by staff."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Self
from uuid import UUID

import asyncpg
from common.auth import Staff
from common.errors import FieldError, Refusal
from common.http import Body, Moment, Router, Wire
from common.ops_parts import Operator
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query, Response
from pydantic import Field

from payment_service import handlers
from payment_service.api.parts import DatabaseOf, StaffOrOperator
from payment_service.domain.reconciling import Reason
from payment_service.store import reconciliations

OPS_PREFIX = "/ops/v1"
_LONGEST = timedelta(days=31)

router = Router(tags=["payments"])
ops_router = Router(tags=["operations"])


class ReconciliationBody(Body):
    """Which time to compare: at most 31 days, and none that is still to come."""

    from_: Moment = Field(alias="from", examples=["2026-03-01T00:00:00Z"])
    to: Moment = Field(examples=["2026-03-02T00:00:00Z"])


class ReconciliationOut(Wire):
    """A comparison; `finishedAt` is null until it is made."""

    reconciliation_id: UUID
    payment_id: UUID | None
    from_: datetime = Field(alias="from")
    to: datetime
    compared: int | None
    in_flux: int | None
    differences: int
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: asyncpg.Record, differences: int = 0) -> Self:
        return cls(
            reconciliation_id=row["run_id"],
            payment_id=row["payment_id"],
            from_=row["from_at"],
            to=row["to_at"],
            compared=row["compared"],
            in_flux=row["in_flux"],
            differences=differences,
            created_at=row["created_at"],
            finished_at=row["finished_at"],
        )


class DifferenceOut(Wire):
    """One thing to look at: why, what we have and what the provider has."""

    reason: Reason
    payment_id: UUID | None
    order_id: UUID | None
    provider_id: str | None
    ours: str
    theirs: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(
            reason=Reason(row["reason"]),
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            provider_id=row["provider_id"],
            ours=row["ours"],
            theirs=row["theirs"],
        )


@router.post("/payments/{payment_id}/reconcile", status_code=202)
async def reconcile_payment(
    payment_id: UUID, _caller: Staff, database: DatabaseOf, response: Response
) -> ReconciliationOut:
    """Have the provider asked about a payment now, and write down where it differs from ours."""
    return _asked(await handlers.reconcile_one(database, payment_id), response)


@ops_router.post("/reconciliations", status_code=202)
async def reconcile_payments(
    body: ReconciliationBody, operator: Operator, database: DatabaseOf, response: Response
) -> ReconciliationOut:
    """Have everything compared that the provider made in a time."""
    if not timedelta(0) < body.to - body.from_ <= _LONGEST or body.to > datetime.now(UTC):
        raise Refusal(
            "validation_failed",
            "The time is empty, longer than 31 days, or not over.",
            status=422,
            errors=[FieldError("/to", "invalid", "name a time that is over, at most 31 days")],
        )
    row = await handlers.reconcile_all(database, body.from_, body.to, operator.id)
    return _asked(row, response)


@ops_router.get("/reconciliations/{reconciliation_id}")
async def get_reconciliation(
    reconciliation_id: UUID, _caller: StaffOrOperator, database: DatabaseOf
) -> ReconciliationOut:
    """Tell whether a comparison is made, and how many differences it found."""
    async with database.transaction() as tx:
        row = await reconciliations.find_run(tx, reconciliation_id)
    if row is None:
        raise not_found()
    return ReconciliationOut.of(row, row["differences"])


@ops_router.get("/reconciliations/{reconciliation_id}/differences")
async def list_differences(
    reconciliation_id: UUID,
    query: Annotated[PageQuery, Query()],
    _caller: StaffOrOperator,
    database: DatabaseOf,
    pages: PagesOf,
) -> Page[DifferenceOut]:
    """List what a comparison found."""
    listing = f"differences {reconciliation_id}"
    last = pages.begin(listing, query)
    async with database.transaction() as tx:
        if await reconciliations.find_run(tx, reconciliation_id) is None:
            raise not_found()
        rows = await reconciliations.list_differences(
            tx, reconciliation_id, after=int(last[0]) if last else 0, limit=query.limit + 1
        )
    shown, cursor = pages.cut(listing, query, rows, lambda row: [str(row["id"])])
    return Page(data=[DifferenceOut.of(row) for row in shown], next_cursor=cursor)


def _asked(row: asyncpg.Record, response: Response) -> ReconciliationOut:
    response.headers["Location"] = f"{OPS_PREFIX}/reconciliations/{row['run_id']}"
    return ReconciliationOut.of(row)
