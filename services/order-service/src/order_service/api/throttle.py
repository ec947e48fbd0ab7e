"""How often somebody may try to prove who they are: counted before anything is looked up."""

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from common.limits import Policy, address_of, limits_of
from fastapi import Request


@dataclass(frozen=True, slots=True)
class Throttle:
    """The buckets of logging in and registering; an unknown account has one like any other."""

    secret: bytes
    by_account: Policy
    by_address: Policy
    registering: Policy

    async def admit_login(self, request: Request, email: str) -> None:
        """Count a try to log in with an address, or refuse with 429."""
        await self._admit(request, self.by_address, address_of(request.scope))
        await self._admit(request, self.by_account, self._hidden(email.lower()))

    async def admit_proof(self, request: Request, customer_id: UUID) -> None:
        """Count a try to prove oneself again, or refuse with 429: a stolen token must not guess."""
        await self._admit(request, self.by_account, customer_id.hex)

    async def admit_registration(self, request: Request) -> None:
        """Count a try to register, or refuse with 429."""
        await self._admit(request, self.registering, address_of(request.scope))

    async def _admit(self, request: Request, policy: Policy, caller: str) -> None:
        await limits_of(request).hit(request, policy, caller)

    def _hidden(self, email: str) -> str:
        """Stand for an address where it must not be read, nor be found by hashing guesses."""
        return hmac.digest(self.secret, b"account\n" + email.encode(), hashlib.sha256).hex()[:32]
