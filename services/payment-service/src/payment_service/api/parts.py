"""What every route needs: the database behind it, and whose payments the caller may see."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from common import auth, problem
from common.auth import Principal
from common.database import Database
from common.errors import Refusal
from fastapi import Depends, Request

STAFF = frozenset({"staff", "admin"})
"""Who sees everybody's payments, and how they stand with the provider."""

Caller = auth.Authenticated
Staff = Annotated[Principal, Depends(auth.caller(*STAFF))]
StaffOrOperator = Annotated[Principal, Depends(auth.caller(*STAFF, "operator"))]


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


DatabaseOf = Annotated[Database, Depends(_database)]


def is_staff(principal: Principal) -> bool:
    return bool(principal.roles & STAFF)


def owner_of(principal: Principal) -> UUID | None:
    """Tell whose payments the caller may see: their own, or everybody's (None)."""
    return None if is_staff(principal) else principal.id


def not_found() -> Refusal:
    """Refuse in the same words what is absent and what is somebody else's."""
    return Refusal("not_found", problem.MEANINGS["not_found"], status=404)
