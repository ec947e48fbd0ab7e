"""Response bodies about accounts and sessions, in camelCase."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from common.http import Wire
from typing_extensions import override

from order_service.domain.accounts import Customer


class Tokens(Wire):
    """A short access token, and the refresh token that gets the next one."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind of token, as RFC 6750 names it
    expires_in: int


class Account(Wire):
    """An account as its owner sees it."""

    customer_id: UUID
    email: str
    name: str | None
    language: str
    roles: list[str]
    created_at: datetime

    @classmethod
    def of(cls, customer: Customer) -> "Account":
        """Show an account."""
        return cls(
            customer_id=customer.customer_id,
            email=customer.email,
            name=customer.name,
            language=customer.language,
            roles=list(customer.roles),
            created_at=customer.created_at,
        )


class User(Account):
    """An account as an admin sees it."""

    active: bool

    @override
    @classmethod
    def of(cls, customer: Customer) -> "User":
        """Show an account."""
        shown = Account.of(customer)
        return cls(**shown.model_dump(by_alias=False), active=customer.active)
