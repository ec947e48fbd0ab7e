"""What every route needs: the running database, and who may call it."""

from typing import Annotated

from common.database import Database
from fastapi import Depends, Request


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


DatabaseOf = Annotated[Database, Depends(_database)]
