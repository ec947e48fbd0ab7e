"""Who a customer is: password hashing, and refresh tokens that are rotated on each use."""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from common import telemetry
from common.database import Transaction
from common.errors import Refusal, Unavailable
from common.message import uuid7

from order_service.domain.accounts import Customer
from order_service.store import accounts as store
from order_service.store import refresh_tokens
from order_service.store.accounts import Credentials
from order_service.store.refresh_tokens import RefreshToken

T = TypeVar("T")

_THREADS = 1
"""Argon2 takes a core for its 20 ms. Among 20 parallel logins the p99 of orders was 3.4 times that
of a quiet time with two threads, 2.6 and 2.7 with one; 10 logins/s were left of 12.5."""

_NICENESS = 10
"""A tenth of the weight of whoever else wants the core: with 20 parallel logins, half of all orders
were answered in 58 ms instead of 172. Not less: each thread holds Python's lock now and then."""

_WAITING = 64
"""Some 1.3 s of hashing on a core of its own; who would wait longer is told to come back."""

RETRY_WINDOW = timedelta(seconds=10)
"""A client whose answer was lost asks again within its own time-out."""

log = telemetry.get_logger()


class Passwords:
    """Argon2id in a few threads of its own, the same work for a wrong name as for a right one."""

    def __init__(self) -> None:
        """Take OWASP's parameters, and make the hash that unknown names are checked against."""
        self._hasher = argon2.PasswordHasher(
            time_cost=2, memory_cost=19456, parallelism=1, type=argon2.Type.ID
        )
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        self._threads = ThreadPoolExecutor(
            _THREADS, thread_name_prefix="argon2", initializer=_step_back
        )
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        return await self._run(lambda: self._hasher.hash(password))

    async def check(self, found: Credentials | None, password: str) -> Credentials:
        """Find out whether it is them, or refuse without telling which part was wrong."""
        if not await self.match(found, password) or found is None:
            known = found.customer.customer_id if found else None
            log.warning("login failed", user_id=known)
            raise unauthenticated("the e-mail address or the password is wrong")
        return found

    async def match(self, found: Credentials | None, password: str) -> bool:
        """Compare a password; with nobody's, if there is nothing to compare it with."""
        stored = found.password_hash if found else self._nobody
        return await self._run(lambda: self._verify(stored, password)) and found is not None

    async def improve(self, right: Credentials, password: str) -> str | None:
        """Answer a better hash, if the stored one was made with weaker parameters."""
        outdated = self._hasher.check_needs_rehash(right.password_hash)
        return await self.hash(password) if outdated else None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING:
            raise Unavailable("too many logins at once", code="overloaded", retry_after=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _step_back() -> None:
    """Let the event loop and the database go first; only Linux has priorities for threads."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS)


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who is logged in, and the refresh token that keeps them so."""

    customer: Customer
    refresh_token: str


class Sessions:
    """Refresh tokens: opaque, stored as hashes, one family for each login.

    A token's successor is computed from the token and the client that uses it. So a client that
    asks again gets the same successor, and anyone else is recognised by getting another one.
    """

    def __init__(self, *, secret: bytes, life: timedelta) -> None:
        """Take the secret that successors are computed with; processes must share it."""
        self._secret = secret
        self._life = life

    async def open(self, tx: Transaction, customer: Customer) -> Session:
        """Begin a family of tokens."""
        token = secrets.token_urlsafe(32)
        first = RefreshToken(
            token_hash=_hash(token),
            family=uuid7(),
            customer_id=customer.customer_id,
            expires_at=tx.now + self._life,
        )
        await refresh_tokens.add_token(tx, first)
        return Session(customer, token)

    async def rotate(self, tx: Transaction, token: str, *, client: str) -> Session | Refusal:
        """Replace a token by its successor; return the refusal, for the revocation to commit.

        A used token means that two hold it: the family ends, for the thief and the owner alike.
        """
        held = await refresh_tokens.lock_token(tx, _hash(token))
        if held is None or held.revoked_at or held.expires_at <= tx.now:
            return unauthenticated("the refresh token is not valid; log in again")
        successor = self._successor(token, client)
        if held.used_at is None:
            await self._replace(tx, held, successor)
        elif held.replaced_by != _hash(successor) or tx.now - held.used_at > RETRY_WINDOW:
            await refresh_tokens.revoke_family(tx, held.family)
            log.warning("refresh token used twice", user_id=held.customer_id)
            return unauthenticated("the refresh token was used before; log in again")
        customer = await store.find_customer(tx, held.customer_id)
        if customer is None or not customer.active:
            return unauthenticated("no such account")
        return Session(customer, successor)

    async def close(self, tx: Transaction, token: str) -> None:
        """End the family; a token that is not known has nothing to end."""
        held = await refresh_tokens.lock_token(tx, _hash(token))
        if held is not None:
            await refresh_tokens.revoke_family(tx, held.family)

    async def _replace(self, tx: Transaction, held: RefreshToken, successor: str) -> None:
        replaced_by = _hash(successor)
        fresh = replace(held, token_hash=replaced_by, expires_at=tx.now + self._life)
        await refresh_tokens.add_token(tx, fresh)
        await refresh_tokens.save_rotation(tx, held.token_hash, replaced_by)

    def _successor(self, token: str, client: str) -> str:
        message = f"refresh\n{token}\n{client}".encode()
        digest = hmac.digest(self._secret, message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def unauthenticated(detail: str) -> Refusal:
    """Make the refusal of someone who did not prove who they are."""
    return Refusal("unauthenticated", detail, status=HTTPStatus.UNAUTHORIZED)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
