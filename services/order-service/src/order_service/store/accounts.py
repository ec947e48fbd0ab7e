"""Rows of customers: everybody who has an account, staff too."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from common.database import Transaction

from order_service.domain.accounts import Customer, Held

_SHOWN = "customer_id, email, name, language, roles, active, created_at"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is checked against; the hash stays out of every repr."""

    customer: Customer
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts of a list are meant."""

    role: str | None = None
    active: bool | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """An account of which only its id and the tombstone's version are left."""

    customer_id: UUID
    version: int


async def add_customer(
    tx: Transaction, customer: Customer, *, password_hash: str, version: int
) -> bool:
    """Store a new account; false when the address belongs to another one."""
    added = await tx.fetchval(
        """
        INSERT INTO customers (customer_id, email, name, language, password_hash, roles, active,
                               version, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT DO NOTHING
        RETURNING customer_id
        """,
        customer.customer_id,
        customer.email,
        customer.name,
        customer.language,
        password_hash,
        list(customer.roles),
        customer.active,
        version,
        customer.created_at,
    )
    return added is not None


async def find_credentials(tx: Transaction, email: str) -> Credentials | None:
    """Read the account that may log in with an address."""
    row = await tx.fetchrow(
        f"""
        SELECT {_SHOWN}, password_hash FROM customers
         WHERE email = $1 AND active AND deleted_at IS NULL
        """,  # noqa: S608  a constant
        email,
    )
    return Credentials(_customer(row), row["password_hash"]) if row else None


async def get_credentials(tx: Transaction, customer_id: UUID) -> Credentials | None:
    """Read what somebody who is logged in has to prove themselves with again."""
    row = await tx.fetchrow(
        f"""
        SELECT {_SHOWN}, password_hash FROM customers
         WHERE customer_id = $1 AND active AND deleted_at IS NULL
        """,  # noqa: S608  a constant
        customer_id,
    )
    return Credentials(_customer(row), row["password_hash"]) if row else None


async def confirm_credentials(tx: Transaction, seen: Credentials) -> bool:
    """Make sure that what was checked is still so, and stays so until this transaction ends."""
    found = await tx.fetchval(
        """
        SELECT true FROM customers
         WHERE customer_id = $1 AND password_hash = $2 AND active FOR SHARE
        """,
        seen.customer.customer_id,
        seen.password_hash,
    )
    return bool(found)


async def find_customer(tx: Transaction, customer_id: UUID) -> Customer | None:
    """Read an account that still exists."""
    row = await tx.fetchrow(
        f"SELECT {_SHOWN} FROM customers WHERE customer_id = $1 AND deleted_at IS NULL",  # noqa: S608  a constant
        customer_id,
    )
    return _customer(row) if row else None


async def find_by_email(tx: Transaction, email: str) -> Customer | None:
    """Read the account of an address, whether it may log in or not."""
    row = await tx.fetchrow(f"SELECT {_SHOWN} FROM customers WHERE email = $1", email)  # noqa: S608  a constant
    return _customer(row) if row else None


async def list_customers(
    tx: Transaction, wanted: AccountFilter, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[Customer]:
    """Read a page of accounts, newest first, from just past the last one shown."""
    created_at, customer_id = after or (None, None)
    rows = await tx.fetch(
        f"""
        SELECT {_SHOWN} FROM customers
         WHERE deleted_at IS NULL
           AND ($1::text IS NULL OR $1 = ANY (roles))
           AND ($2::boolean IS NULL OR active = $2)
           AND ($3::text IS NULL OR email = $3)
           AND ($4::timestamptz IS NULL OR (created_at, customer_id) < ($4, $5::uuid))
         ORDER BY created_at DESC, customer_id DESC
         LIMIT $6
        """,  # noqa: S608  a constant
        wanted.role,
        wanted.active,
        wanted.email,
        created_at,
        customer_id,
        limit,
    )
    return [_customer(row) for row in rows]


async def lock_customer(tx: Transaction, customer_id: UUID) -> Held | None:
    """Lock an account together with all active admins: of two who leave, the second sees it."""
    rows = await tx.fetch(
        f"""
        SELECT {_SHOWN}, version FROM customers
         WHERE deleted_at IS NULL
           AND (customer_id = $1 OR (active AND 'admin' = ANY (roles)))
         ORDER BY customer_id FOR NO KEY UPDATE
        """,  # noqa: S608  a constant
        customer_id,
    )
    found = {row["customer_id"]: row for row in rows}
    mine = found.pop(customer_id, None)
    return Held(_customer(mine), mine["version"], bool(found)) if mine else None


async def save_customer(tx: Transaction, customer: Customer, *, version: int) -> bool:
    """Write an account as it is now; false when the address belongs to another one."""
    try:
        await tx.execute(
            """
            UPDATE customers
               SET email = $2, name = $3, language = $4, roles = $5, active = $6, version = $7
             WHERE customer_id = $1
            """,
            customer.customer_id,
            customer.email,
            customer.name,
            customer.language,
            list(customer.roles),
            customer.active,
            version,
        )
    except asyncpg.UniqueViolationError:
        return False
    return True


async def save_password_hash(tx: Transaction, customer_id: UUID, password_hash: str) -> None:
    """Replace a hash: the password is another one."""
    await tx.execute(
        "UPDATE customers SET password_hash = $2 WHERE customer_id = $1",
        customer_id,
        password_hash,
    )


async def improve_password_hash(tx: Transaction, seen: Credentials, password_hash: str) -> None:
    """Replace the hash of a password by a stronger one, unless the password changed meanwhile."""
    await tx.execute(
        "UPDATE customers SET password_hash = $3 WHERE customer_id = $1 AND password_hash = $2",
        seen.customer.customer_id,
        seen.password_hash,
        password_hash,
    )


async def erase_customer(
    tx: Transaction, customer_id: UUID, *, version: int, again_in: timedelta
) -> None:
    """Keep the id and the counter, and nothing else of somebody."""
    await tx.execute(
        """
        UPDATE customers
           SET email = NULL, name = NULL, language = NULL, password_hash = NULL, active = false,
               roles = '{}', version = $2, deleted_at = now(), tombstone_due_at = now() + $3
         WHERE customer_id = $1
        """,
        customer_id,
        version,
        again_in,
    )


async def take_due_tombstones(tx: Transaction, limit: int) -> list[Erased]:
    """Count up the accounts whose erasure is to be said once more; others take the rest."""
    rows = await tx.fetch(
        """
        UPDATE customers SET version = version + 1, tombstone_due_at = NULL
         WHERE customer_id = ANY (ARRAY (
               SELECT customer_id FROM customers WHERE tombstone_due_at <= now()
                ORDER BY tombstone_due_at LIMIT $1 FOR UPDATE SKIP LOCKED))
        RETURNING customer_id, version
        """,
        limit,
    )
    return [Erased(row["customer_id"], row["version"]) for row in rows]


def _customer(row: asyncpg.Record) -> Customer:
    return Customer(
        customer_id=row["customer_id"],
        email=row["email"],
        name=row["name"],
        language=row["language"],
        roles=tuple(row["roles"]),
        created_at=row["created_at"],
        active=row["active"],
    )
