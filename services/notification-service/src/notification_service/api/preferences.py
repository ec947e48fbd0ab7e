"""What a customer wants to be told, and in which language."""

from typing import Annotated, Literal, Self

from common.http import Body, Router, Wire
from common.openapi import refuses
from common.problem import not_found
from pydantic import Field

from notification_service.api.parts import Caller, PartsOf
from notification_service.domain.preferences import OPTIONAL
from notification_service.domain.words import Language
from notification_service.store import customers

router = Router(tags=["preferences"])

Must = Literal[True]
"""Tells of a contract or of money: the law wants it told."""


class EmailPreferences(Wire):
    """Which kinds of e-mail a customer gets; what must be told can't be turned off."""

    welcome: bool = True
    shipped: bool = True
    decide: Must = True
    confirmed: Must = True
    rejected: Must = True
    expired: Must = True
    cancelled: Must = True
    refunded: Must = True
    reversed: Must = True


class Preferences(Body):
    """What a customer wants to be told; no language means the account's."""

    language: Annotated[Language | None, Field(examples=["es"])] = None
    email: EmailPreferences = EmailPreferences()

    @classmethod
    def of(cls, chosen: customers.Preferences | None) -> Self:
        if chosen is None:
            return cls()
        email = {kind: kind not in chosen.muted for kind in OPTIONAL}
        return cls.model_validate({"language": chosen.language, "email": email})

    def chosen(self) -> customers.Preferences:
        muted = frozenset(kind for kind in OPTIONAL if not getattr(self.email, kind))
        return customers.Preferences(self.language, muted)


@router.get("/preferences")
async def get_preferences(caller: Caller, parts: PartsOf) -> Preferences:
    """Show the caller's own preferences."""
    async with parts.database.transaction() as tx:
        return Preferences.of(await customers.find_preferences(tx, caller.id))


@router.put("/preferences", responses=refuses(not_found=404))
async def put_preferences(body: Preferences, caller: Caller, parts: PartsOf) -> Preferences:
    """Replace the caller's own preferences; what is left out is as at the beginning."""
    async with parts.database.transaction() as tx:
        kept = await customers.save_preferences(tx, caller.id, body.chosen())
    if not kept:  # erased, while the access token still lives
        raise not_found()
    return body
