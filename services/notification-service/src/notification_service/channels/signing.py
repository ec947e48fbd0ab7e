"""Secrets of webhooks: made, sealed to be stored, and signed with as Standard Webhooks has it."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr

_PREFIX = "whsec_"
_SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""


class Unreadable(Exception):
    """A sealed secret does not open with our key: DATA_KEY has changed. Rotate the secret."""


class Vault:
    """Seals secrets before they are stored, and opens them to sign."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def make(self) -> tuple[SecretStr, bytes]:
        """Make a secret: as its merchant is shown it once, and sealed."""
        raw = secrets.token_bytes(_SECRET_BYTES)
        shown = SecretStr(_PREFIX + base64.b64encode(raw).decode())
        return shown, self._fernet.encrypt(raw)

    def headers(
        self, sealed: Sequence[bytes], delivery_id: UUID, payload: str, *, now: datetime
    ) -> dict[str, str]:
        """Sign with each secret; raises Unreadable."""
        timestamp = str(int(now.timestamp()))
        content = f"{delivery_id}.{timestamp}.{payload}".encode()
        try:
            keys = [self._fernet.decrypt(each) for each in sealed]
        except InvalidToken:
            raise Unreadable from None
        return {
            "webhook-id": str(delivery_id),
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(_signature(key, content) for key in keys),
        }


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
