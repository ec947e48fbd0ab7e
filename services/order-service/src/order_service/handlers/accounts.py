"""Accounts begin here: the row, and what the other services are told of it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from common import outbox
from common.database import Transaction
from common.errors import Refusal
from common.message import Said

from order_service.messages import CustomerChanged
from order_service.store import accounts as store
from order_service.store.accounts import Customer

_FIRST_VERSION = 1
"""What a customer's state topic begins to count with."""


@dataclass(frozen=True, slots=True)
class RegisterCustomer:
    """Somebody wants an account of their own."""

    customer_id: UUID
    email: str
    name: str | None
    language: str


async def register_customer(
    tx: Transaction, command: RegisterCustomer, *, password_hash: str
) -> Customer:
    """Store the account and announce it, or refuse an address that has one (409)."""
    customer = Customer(
        customer_id=command.customer_id,
        email=command.email.lower(),
        name=command.name,
        language=command.language,
        roles=("customer",),
        created_at=tx.now,
    )
    added = await store.add_customer(
        tx, customer, password_hash=password_hash, version=_FIRST_VERSION
    )
    if not added:
        raise Refusal(
            "email_taken", "this e-mail address has an account", status=HTTPStatus.CONFLICT
        )
    changed = CustomerChanged(
        customer_id=customer.customer_id,
        name=customer.name,
        email=customer.email,
        language=customer.language,
    )
    await outbox.append(tx, [Said(changed, version=_FIRST_VERSION)])
    return customer
