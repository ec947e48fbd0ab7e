"""What every route needs: the running parts behind it, and who is calling."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from common import auth, problem
from common.auth import Principal
from common.database import Database
from common.errors import Refusal
from fastapi import Depends, Request

from notification_service.channels.signing import Vault
from notification_service.channels.stationery import Stationery
from notification_service.domain.addresses import Digests

STAFF = frozenset({"staff", "admin"})
"""Who sees what everybody was told."""

Caller = auth.Authenticated
Staff = Annotated[Principal, Depends(auth.caller(*STAFF))]


@dataclass(frozen=True, slots=True)
class Parts:
    """The running things behind the routes, made in app.py."""

    database: Database
    stationery: Stationery
    digests: Digests
    vault: Vault
    secret_overlap: timedelta
    private_allowed: bool
    """Endpoints may be at private addresses: development and tests only."""


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(_parts)]


def owner_of(principal: Principal) -> UUID | None:
    """Tell whose notices the caller may see: their own, or everybody's (None)."""
    return None if principal.roles & STAFF else principal.id


def not_found() -> Refusal:
    """Refuse in the same words what is absent and what is somebody else's."""
    return Refusal("not_found", problem.MEANINGS["not_found"], status=404)
