"""What customers were told, and what became of it: their own, and everybody's for staff."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal, Self
from uuid import UUID

from common.auth import Principal, Staff, owner_of
from common.errors import Refusal
from common.http import Router, Wire
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query, Request, Response

from notification_service import handlers
from notification_service.api.parts import Caller, PartsOf
from notification_service.domain.letters import NoticeStatus, Outcome
from notification_service.messages import Kind
from notification_service.store import reads
from notification_service.store.reads import NoticeFilter, Row

router = Router(tags=["notifications"])


class NoticeQuery(PageQuery):
    """Which notices to list; `customerId` is for staff."""

    order_id: UUID | None = None
    customer_id: UUID | None = None
    status: NoticeStatus | None = None
    kind: Kind | None = None

    def filter_for(self, caller: Principal) -> NoticeFilter:
        """Narrow the list to what the caller may see."""
        owner = owner_of(caller)
        if owner is not None and self.customer_id not in {None, owner}:
            raise Refusal("forbidden", "other customers' notices are for staff", status=403)
        return NoticeFilter(
            customer_id=owner or self.customer_id,
            order_id=self.order_id,
            status=self.status,
            kind=self.kind,
        )


class Notice(Wire):
    """One message to a customer; its address and words are not shown."""

    notification_id: UUID
    order_id: UUID | None
    customer_id: UUID | None
    """Unknown until the order is."""
    kind: Kind
    subject: str
    channel: Literal["email"]
    status: NoticeStatus
    attempts: int
    reason: str | None
    created_at: datetime
    settled_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate({**_members(row)}, strict=False)


class Attempt(Wire):
    """One try to hand a message over, and the code of the answer."""

    at: datetime
    outcome: Outcome
    code: str | None


class NoticeWithLog(Notice):
    """One message to a customer, with every attempt to deliver it, oldest first."""

    log: list[Attempt]


def _members(row: Row) -> dict[str, object]:
    return {
        "notification_id": row["id"],
        "order_id": row["order_id"],
        "customer_id": row["customer_id"],
        "kind": row["kind"],
        "subject": row["subject"],
        "channel": "email",
        "status": row["status"],
        "attempts": row["attempt"],
        "reason": row["error"],
        "created_at": row["created_at"],
        "settled_at": row["settled_at"],
    }


@router.get("/notifications")
async def list_notifications(
    query: Annotated[NoticeQuery, Query()], caller: Caller, pages: PagesOf, parts: PartsOf
) -> Page[Notice]:
    """List what customers were told, and what became of each message, newest first."""
    wanted = query.filter_for(caller)
    after = pages.begin_in_time("notifications", query)
    async with parts.database.transaction() as tx:
        rows = await reads.list_notices(tx, wanted, after=after, limit=query.limit + 1)
    shown, cursor = pages.cut(
        "notifications", query, rows, lambda row: [row["created_at"].isoformat(), str(row["id"])]
    )
    return Page(data=[Notice.of(row) for row in shown], next_cursor=cursor)


@router.get("/notifications/{notification_id}")
async def get_notification(notification_id: UUID, caller: Caller, parts: PartsOf) -> NoticeWithLog:
    """Show a message with its delivery log."""
    async with parts.database.transaction() as tx:
        row = await reads.find_notice(tx, notification_id, owner_of(caller))
        log = await reads.list_attempts(tx, notification_id) if row else []
    if row is None:
        raise not_found()
    attempts = [
        {"at": each["at"], "outcome": each["outcome"], "code": each["code"]} for each in log
    ]
    return NoticeWithLog.model_validate({**_members(row), "log": attempts}, strict=False)


@router.post("/notifications/{notification_id}/resend", status_code=HTTPStatus.ACCEPTED)
async def resend_notification(
    notification_id: UUID, caller: Staff, request: Request, response: Response, parts: PartsOf
) -> Notice:
    """Make a message due now, whatever became of it; it keeps its Message-ID.

    What kept it back still does: an erased customer, a muted kind, an address that bounced.
    """
    async with parts.database.transaction() as tx:
        row = await handlers.resend_notice(tx, notification_id, principal=caller.id)
    if row is None:
        raise not_found()
    response.headers["Location"] = request.url.path.removesuffix("/resend")
    return Notice.of(row)
