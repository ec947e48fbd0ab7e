"""Rows of refresh_tokens."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common.database import Transaction


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


async def add_token(tx: Transaction, token: RefreshToken) -> None:
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


async def lock_token(tx: Transaction, token_hash: bytes) -> RefreshToken | None:
    """Read a token and keep others from using its family until this transaction ends.

    The whole family, since a revocation could not see a successor that is being added meanwhile;
    and its account first, for the revocation of all its families that a new password brings.
    """
    await tx.execute(
        """
        SELECT FROM customers JOIN refresh_tokens USING (customer_id)
         WHERE token_hash = $1 FOR SHARE OF customers
        """,
        token_hash,
    )
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


async def revoke_all(tx: Transaction, customer_id: UUID) -> None:
    """End every session of an account."""
    await tx.execute(
        """
        UPDATE refresh_tokens SET revoked_at = now()
         WHERE customer_id = $1 AND revoked_at IS NULL
        """,
        customer_id,
    )


async def remove_all(tx: Transaction, customer_id: UUID) -> None:
    """Remove every token of an account."""
    await tx.execute("DELETE FROM refresh_tokens WHERE customer_id = $1", customer_id)


async def remove_expired(tx: Transaction, limit: int) -> int:
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
