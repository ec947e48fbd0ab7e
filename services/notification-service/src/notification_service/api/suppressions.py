"""Addresses that bounced and are not written to any more, for staff."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from common.auth import Staff
from common.http import Router, Wire
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Path, Query

from notification_service import handlers
from notification_service.api.parts import PartsOf
from notification_service.store import reads
from notification_service.store.reads import Row

router = Router(tags=["suppressions"])


class SuppressionQuery(PageQuery):
    """Whose address is asked for, if not everybody's."""

    customer_id: UUID | None = None


class Suppression(Wire):
    """An address that does not exist: the mail server's code, and a digest instead of it."""

    suppression_id: str
    code: str
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            suppression_id=row["digest"].hex(), code=row["code"], created_at=row["created_at"]
        )


@router.get("/suppressions")
async def list_suppressions(
    query: Annotated[SuppressionQuery, Query()], _caller: Staff, pages: PagesOf, parts: PartsOf
) -> Page[Suppression]:
    """List the addresses that are not written to, newest first; they are known by digest alone."""
    last = pages.begin("suppressions", query)
    after = (datetime.fromisoformat(last[0]), bytes.fromhex(last[1])) if last else None
    async with parts.database.transaction() as tx:
        only = None
        if query.customer_id is not None:
            only = parts.digests.of(await reads.find_address(tx, query.customer_id) or "")
        rows = await reads.list_suppressions(tx, only, after=after, limit=query.limit + 1)
    shown, cursor = pages.cut(
        "suppressions",
        query,
        rows,
        lambda row: [row["created_at"].isoformat(), row["digest"].hex()],
    )
    return Page(data=[Suppression.of(row) for row in shown], next_cursor=cursor)


@router.delete("/suppressions/{suppression_id}", status_code=HTTPStatus.NO_CONTENT)
async def remove_suppression(
    suppression_id: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", examples=["0f" * 32])],
    caller: Staff,
    parts: PartsOf,
) -> None:
    """Write to an address again, until it bounces again."""
    async with parts.database.transaction() as tx:
        digest = bytes.fromhex(suppression_id)
        if not await handlers.remove_suppression(tx, digest, principal=caller.id):
            raise not_found()
