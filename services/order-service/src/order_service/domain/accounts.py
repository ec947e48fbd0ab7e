"""What an account may become: who stays admin, and what others have to be told of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypedDict
from uuid import UUID

from common.errors import Refusal

from order_service.messages import CustomerChanged

Role = Literal["customer", "staff", "operator", "admin"]


@dataclass(frozen=True, slots=True)
class Customer:
    """An account, without what only a login needs; staff have one, too."""

    customer_id: UUID
    email: str
    name: str | None
    language: str
    roles: tuple[str, ...]
    created_at: datetime
    active: bool = True

    @property
    def governs(self) -> bool:
        """Whether its owner can administer the others today."""
        return self.active and "admin" in self.roles

    @property
    def contact(self) -> CustomerChanged:
        """What the other services know of it."""
        return CustomerChanged(
            customer_id=self.customer_id, name=self.name, email=self.email, language=self.language
        )


@dataclass(frozen=True, slots=True)
class Held:
    """An account under its lock, and whether another one could administer instead of it."""

    customer: Customer
    version: int
    other_admins: bool


class AccountChanges(TypedDict, total=False):
    """What is to be different; whatever is left out stays as it is."""

    email: str
    name: str | None
    language: str
    roles: tuple[str, ...]
    active: bool


def change(held: Held, changes: AccountChanges) -> Customer:
    """Make the account as it is to be; raises a Refusal if nobody could administer after it."""
    changed = replace(held.customer, **changes)
    if not changed.governs:
        _keep_an_admin(held)
    return changed


def erase(held: Held) -> int:
    """Answer the tombstone's version; raises a Refusal if nobody could administer after it."""
    _keep_an_admin(held)
    return held.version + 1


def _keep_an_admin(held: Held) -> None:
    if held.customer.governs and not held.other_admins:
        raise Refusal("invalid_state", "It is the last active admin: make another one first.")
