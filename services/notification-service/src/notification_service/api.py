"""HTTP in and out: what staff may see of the notices that were owed."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from common.auth import caller
from common.database import Database
from common.http import Params, Router, Wire
from fastapi import Depends, Query, Request

from notification_service import handlers
from notification_service.messages import Kind
from notification_service.store.notices import NoticeRow

router = Router(tags=["notifications"])


class NoticeFilter(Params):
    """Which notices are asked for; anything else in the query is refused."""

    order_id: UUID


class NoticeOut(Wire):
    """One message to a customer; its address and words are not shown."""

    order_id: UUID
    kind: Kind
    subject: str
    channel: Literal["email"]
    status: Literal["PENDING", "SENT", "FAILED", "SUPPRESSED"]
    attempts: int
    reason: str | None
    created_at: datetime
    settled_at: datetime | None

    @classmethod
    def of(cls, row: NoticeRow) -> Self:
        return cls.model_validate(
            {
                "order_id": row.order_id,
                "kind": row.kind,
                "subject": row.subject,
                "channel": "email",
                "status": row.status,
                "attempts": row.attempt,
                "reason": row.error,
                "created_at": row.created_at,
                "settled_at": row.settled_at,
            }
        )


class NoticeList(Wire):
    """All notices of one order: never so many that they need pages."""

    data: tuple[NoticeOut, ...]
    next_cursor: None = None


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


@router.get("/notifications", dependencies=[Depends(caller("staff", "admin"))])
async def list_notifications(
    query: Annotated[NoticeFilter, Query()], database: Annotated[Database, Depends(_database)]
) -> NoticeList:
    """List what an order's customer was told, and what became of each message."""
    rows = await handlers.list_notices(database, query.order_id)
    return NoticeList(data=tuple(NoticeOut.of(row) for row in rows))
