"""What every route needs: the running parts behind it, and who is calling."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from common import auth, problem
from common.auth import Principal, TokenIssuer
from common.database import Database, Transaction
from fastapi import Depends, Request

from order_service.accounts import Passwords, Sessions
from order_service.api.throttle import Throttle
from order_service.domain import Patience
from order_service.intake import Intake
from order_service.store import reads
from order_service.store.reads import Row
from order_service.stream import Feed


@dataclass(frozen=True, slots=True)
class Parts:
    """The running things behind the routes, made in app.py."""

    database: Database
    intake: Intake
    feed: Feed
    passwords: Passwords
    sessions: Sessions
    throttle: Throttle
    issuer: TokenIssuer
    patience: Patience
    prefix: str
    access_token_life: timedelta


def parts_of(request: Request) -> Parts:
    """Find the parts of the application that serves this request."""
    parts = request.app.state.parts
    if not isinstance(parts, Parts):
        message = "app.state.parts holds no Parts: call api.attach()"
        raise TypeError(message)
    return parts


async def find_order(tx: Transaction, order_id: UUID, caller: Principal) -> Row:
    """Read an order that the caller may see, or refuse."""
    row = await reads.find_order(tx, order_id, auth.owner_of(caller))
    if row is None:
        raise problem.not_found()
    return row


PartsOf = Annotated[Parts, Depends(parts_of)]
Caller = auth.Authenticated
