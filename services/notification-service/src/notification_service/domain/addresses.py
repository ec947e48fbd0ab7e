"""Addresses as keyed digests: recognised when seen again, and readable by nobody."""

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Digests:
    """Makes the digest under which a bounced address is remembered."""

    key: bytes = field(repr=False)

    def of(self, address: str) -> bytes:
        """Digest an address; without the key nobody can try addresses against it."""
        return hmac.digest(self.key, address.strip().lower().encode(), hashlib.sha256)
