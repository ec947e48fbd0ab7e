"""What every route needs: the database behind it, and whose payments the caller may see."""

from __future__ import annotations

from typing import Annotated

from common import auth
from common.auth import Principal
from common.database import Database
from fastapi import Depends, Request

Caller = auth.Authenticated
StaffOrOperator = Annotated[Principal, Depends(auth.caller(*auth.STAFF, "operator"))]


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


DatabaseOf = Annotated[Database, Depends(_database)]
