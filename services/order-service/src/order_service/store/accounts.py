"""Rows of customers and refresh_tokens."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg
from common.database import Transaction


@dataclass(frozen=True, slots=True)
class Customer:
    """An account as it is stored, without what only a login needs."""

    customer_id: UUID
    email: str
    name: str | None
    language: str
    roles: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is checked against; the hash stays out of every repr."""

    customer: Customer
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it is stored: by its hash, with what became of it."""

    token_hash: bytes
    family: UUID
    customer_id: UUID
    expires_at: datetime
    used_at: datetime | None = None
    replaced_by: bytes | None = None
    revoked_at: datetime | None = None


async def add_customer(
    tx: Transaction, customer: Customer, *, password_hash: str, version: int
) -> bool:
    """Store a new account; false when the address belongs to another one."""
    added = await tx.fetchval(
        """
        INSERT INTO customers (customer_id, email, name, language, password_hash, roles, version,
                               created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT DO NOTHING
        RETURNING customer_id
        """,
        customer.customer_id,
        customer.email,
        customer.name,
        customer.language,
        password_hash,
        list(customer.roles),
        version,
        customer.created_at,
    )
    return added is not None


async def find_credentials(tx: Transaction, email: str) -> Credentials | None:
    """Read the account that an address belongs to."""
    row = await tx.fetchrow(
        """
        SELECT customer_id, email, name, language, roles, created_at, password_hash
          FROM customers
         WHERE email = $1 AND deleted_at IS NULL
        """,
        email,
    )
    return Credentials(_customer(row), row["password_hash"]) if row else None


async def find_customer(tx: Transaction, customer_id: UUID) -> Customer | None:
    """Read an account that still exists."""
    row = await tx.fetchrow(
        """
        SELECT customer_id, email, name, language, roles, created_at
          FROM customers
         WHERE customer_id = $1 AND deleted_at IS NULL
        """,
        customer_id,
    )
    return _customer(row) if row else None


async def save_password_hash(tx: Transaction, customer_id: UUID, password_hash: str) -> None:
    """Replace a hash that was made with weaker parameters."""
    await tx.execute(
        "UPDATE customers SET password_hash = $2 WHERE customer_id = $1",
        customer_id,
        password_hash,
    )


async def add_refresh_token(tx: Transaction, token: RefreshToken) -> None:
    """Store a token that was just issued."""
    await tx.execute(
        """
        INSERT INTO refresh_tokens (token_hash, family, customer_id, issued_at, expires_at)
        VALUES ($1, $2, $3, $4, $5)
        """,
        token.token_hash,
        token.family,
        token.customer_id,
        tx.now,
        token.expires_at,
    )


async def lock_refresh_token(tx: Transaction, token_hash: bytes) -> RefreshToken | None:
    """Read a token and keep others from using its family until this transaction ends.

    The whole family, since a revocation could not see a successor that is being added meanwhile.
    """
    await tx.execute(
        """
        SELECT pg_advisory_xact_lock(hashtextextended(family::text, 0))
          FROM refresh_tokens
         WHERE token_hash = $1
        """,
        token_hash,
    )
    row = await tx.fetchrow(
        """
        SELECT token_hash, family, customer_id, expires_at, used_at, replaced_by, revoked_at
          FROM refresh_tokens
         WHERE token_hash = $1
        """,
        token_hash,
    )
    return RefreshToken(**row) if row else None


async def save_rotation(tx: Transaction, token_hash: bytes, replaced_by: bytes) -> None:
    """Mark a token as used, and by which one it was replaced."""
    await tx.execute(
        "UPDATE refresh_tokens SET used_at = now(), replaced_by = $2 WHERE token_hash = $1",
        token_hash,
        replaced_by,
    )


async def revoke_family(tx: Transaction, family: UUID) -> None:
    """End every token that descends from one login."""
    await tx.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE family = $1 AND revoked_at IS NULL",
        family,
    )


def _customer(row: asyncpg.Record) -> Customer:
    return Customer(
        customer_id=row["customer_id"],
        email=row["email"],
        name=row["name"],
        language=row["language"],
        roles=tuple(row["roles"]),
        created_at=row["created_at"],
    )


async def remove_expired_tokens(tx: Transaction, limit: int) -> int:
    """Remove refresh tokens that nobody could use any more; answers how many."""
    rows = await tx.fetch(
        """
        DELETE FROM refresh_tokens WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM refresh_tokens WHERE expires_at < now()
             ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))
        RETURNING 1
        """,
        limit,
    )
    return len(rows)
