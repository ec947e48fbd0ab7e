"""Accounts: the row, what its sessions have to do with it, and what other services are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from common import outbox
from common.database import Transaction
from common.errors import Refusal
from common.message import Said, Tombstone, uuid7

from order_service.domain import accounts as domain
from order_service.domain.accounts import AccountChanges, Customer
from order_service.messages import CustomerChanged
from order_service.store import accounts as store
from order_service.store import addresses, keys, refresh_tokens
from order_service.store.accounts import Credentials

_FIRST_VERSION = 1
"""What a customer's state topic begins to count with."""

_SAID_AGAIN_IN = timedelta(days=1)
"""A copy of an older record that the relay sent late would else outlive the tombstone."""


@dataclass(frozen=True, slots=True)
class AddAccount:
    """Somebody gets an account: of their own accord, or made by an admin."""

    customer_id: UUID
    email: str
    name: str | None
    language: str
    roles: tuple[str, ...] = ("customer",)


@dataclass(frozen=True, slots=True)
class ChangeAccount:
    """Somebody's account is to be different, or its password."""

    customer_id: UUID
    changes: AccountChanges
    password_hash: str | None = None
    proven: Credentials | None = None
    """What the caller was checked against before, outside this transaction."""


async def add_account(tx: Transaction, command: AddAccount, *, password_hash: str) -> Customer:
    """Store the account and announce it, or refuse an address that has one (409)."""
    customer = Customer(
        customer_id=command.customer_id,
        email=command.email.lower(),
        name=command.name,
        language=command.language,
        roles=command.roles,
        created_at=tx.now,
    )
    added = await store.add_customer(
        tx, customer, password_hash=password_hash, version=_FIRST_VERSION
    )
    if not added:
        raise _email_taken()
    await outbox.append(tx, [Said(customer.contact, version=_FIRST_VERSION)])
    return customer


async def change_account(tx: Transaction, command: ChangeAccount) -> Customer:
    """Change an account; who can't log in any more, or as before, has no session any more.

    Refuses what is not there (404), a proof that no longer stands (403), a taken address, and to
    leave nobody to administer (409).
    """
    held = await store.lock_customer(tx, command.customer_id)
    if held is None:
        raise _no_account()
    if command.proven is not None and not await store.confirm_credentials(tx, command.proven):
        raise not_proven()
    changed = domain.change(held, command.changes)
    told = changed.contact != held.customer.contact
    version = held.version + 1 if told else held.version
    if not await store.save_customer(tx, changed, version=version):
        raise _email_taken()
    if command.password_hash is not None:
        await store.save_password_hash(tx, command.customer_id, command.password_hash)
    if command.password_hash is not None or not changed.active:
        await refresh_tokens.revoke_all(tx, command.customer_id)
    if told:
        await outbox.append(tx, [Said(changed.contact, version=version)])
    return changed


async def make_admin(tx: Transaction, email: str, *, password_hash: str) -> Customer:
    """Let somebody administer who may not have an account yet, or is shut out of it."""
    found = await store.find_by_email(tx, email.lower())
    held = await store.lock_customer(tx, found.customer_id) if found else None
    if held is None:
        command = AddAccount(uuid7(), email, None, "en", roles=("admin",))
        return await add_account(tx, command, password_hash=password_hash)
    roles = tuple(sorted({*held.customer.roles, "admin"}))
    changes = AccountChanges(roles=roles, active=True)
    return await change_account(
        tx, ChangeAccount(held.customer.customer_id, changes, password_hash)
    )


async def erase_account(tx: Transaction, customer_id: UUID) -> None:
    """Forget somebody: here, in what is not sent yet, and by a tombstone for everyone else.

    Refuses what is not there (404), and to leave nobody to administer (409).
    """
    held = await store.lock_customer(tx, customer_id)
    if held is None:
        raise _no_account()
    version = domain.erase(held)
    await store.erase_customer(tx, customer_id, version=version, again_in=_SAID_AGAIN_IN)
    await refresh_tokens.remove_all(tx, customer_id)
    await _forget_traces(tx, [customer_id])
    await outbox.withdraw(tx, CustomerChanged.TOPIC, str(customer_id))
    await outbox.append(tx, [_tombstone(customer_id, version)])


async def erase_again(tx: Transaction, *, limit: int) -> int:
    """Say the erasures of a day ago once more, and clear away what an old token brought since."""
    due = await store.take_due_tombstones(tx, limit)
    await _forget_traces(tx, [each.customer_id for each in due])
    await outbox.append(tx, [_tombstone(each.customer_id, each.version) for each in due])
    return len(due)


async def _forget_traces(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    await keys.remove_of(tx, customer_ids)
    await addresses.remove_of(tx, customer_ids)


def _tombstone(customer_id: UUID, version: int) -> Said:
    gone = Tombstone(CustomerChanged.TOPIC, str(customer_id), CustomerChanged.type_name())
    return Said(gone, version=version)


def _no_account() -> Refusal:
    return Refusal("not_found", "There is no such account.", status=HTTPStatus.NOT_FOUND)


def not_proven() -> Refusal:
    """Make the refusal of somebody whose current password is another one."""
    return Refusal("forbidden", "`currentPassword` is wrong.", status=HTTPStatus.FORBIDDEN)


def _email_taken() -> Refusal:
    return Refusal("email_taken", "this e-mail address has an account", status=HTTPStatus.CONFLICT)
