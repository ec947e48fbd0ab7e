"""What every route needs: the running parts behind it, and who is calling."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from common import auth
from common.database import Database
from fastapi import Depends, Request

from notification_service.channels.signing import Vault
from notification_service.channels.stationery import Stationery
from notification_service.domain.addresses import Digests

Caller = auth.Authenticated


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
