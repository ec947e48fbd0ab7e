"""The issuer's public keys: held here, or fetched from one fixed address and kept a while."""

import asyncio
import base64
import hashlib
import http.client
import re
import time
from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from common import strict_json, telemetry
from common.errors import Unavailable

_TIMEOUT = 2.0
"""Seconds: the issuer answers from memory."""

_MAX_DOCUMENT = 64 * 1024
_MAX_AGE = 300.0
"""Seconds after which the keys are read again, so that a removed key stops counting."""

_PATIENCE = 10.0
"""Seconds between two fetches: made-up key ids must not become load on the issuer."""

_PEM = re.compile("-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----")

log = telemetry.get_logger()


class Keys(Protocol):
    """Where public keys are found: in this process, or at the issuer's fixed address."""

    async def find(self, kid: str) -> ec.EllipticCurvePublicKey | None: ...


class StaticKeys:
    """Keys that this process holds itself."""

    def __init__(self, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> None:
        self._keys = dict(keys)

    async def find(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        return self._keys.get(kid)


class JwksKeys:
    """Keys by id; an unknown id is a reason to look again, but not often."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        self._fetched = -_MAX_AGE
        self._tried = -_PATIENCE
        self._fetching = asyncio.Lock()

    async def find(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """Find a key, or raise Unavailable while there are no keys at all: fail closed."""
        known = kid in self._keys
        if not known or time.monotonic() - self._fetched > _MAX_AGE:
            await self._refresh(wait=not known)
        if not self._keys:
            message = "the token issuer's keys can't be read: check JWT_JWKS_URL and the issuer"
            raise Unavailable(message)
        return self._keys.get(kid)

    async def _refresh(self, *, wait: bool) -> None:
        if self._fetching.locked() and not wait:
            return
        async with self._fetching:
            pause = _PATIENCE if self._keys else _TIMEOUT / 2
            if time.monotonic() - self._tried < pause:
                return
            self._tried = time.monotonic()
            try:
                self._keys = await asyncio.to_thread(_fetch, self._url)
            except (OSError, http.client.HTTPException, ValueError) as error:
                log.warning("signing keys not refreshed", error_class=type(error).__name__)
            else:
                self._fetched = time.monotonic()


def _fetch(url: str) -> dict[str, ec.EllipticCurvePublicKey]:
    """Read the document; http.client follows no redirect and checks certificates."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", parts.path or "/", headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(_MAX_DOCUMENT + 1)
    finally:
        connection.close()
    if response.status != http.client.OK or len(body) > _MAX_DOCUMENT:
        message = "the issuer did not answer with a key document"
        raise ValueError(message)
    return parse(body)


def parse(body: bytes) -> dict[str, ec.EllipticCurvePublicKey]:
    """Take the P-256 signing keys out of a key document and leave the rest."""
    try:
        entries = strict_json.parse(body)["keys"]
        keys = {entry["kid"]: _key(entry) for entry in entries if _usable(entry)}
    except (JSONDecodeError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        message = "the key document is not one"
        raise ValueError(message) from error
    return {kid: key for kid, key in keys.items() if key is not None}


def of_pem(text: str) -> list[ec.EllipticCurvePublicKey]:
    """Read P-256 public keys, one after the other; raises ValueError for anything else."""
    if _PEM.sub("", text).strip():
        message = "only public keys in PEM belong here"
        raise ValueError(message)
    return [_of_block(block) for block in _PEM.findall(text)]


def _of_block(block: str) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        message = "each must be an elliptic curve key on P-256"
        raise ValueError(message)
    return key


def _usable(entry: dict[str, Any]) -> bool:
    return entry.get("kty") == "EC" and entry.get("crv") == "P-256" and "kid" in entry


def _key(entry: dict[str, Any]) -> ec.EllipticCurvePublicKey | None:
    key = jwt.PyJWK.from_dict(entry, algorithm="ES256").key
    return key if isinstance(key, ec.EllipticCurvePublicKey) else None


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    return dict(ECAlgorithm.to_jwk(key, as_dict=True))


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """Name a key by RFC 7638, so that the same key always has the same id."""
    jwk = _jwk(key)
    canonical = f'{{"crv":"{jwk["crv"]}","kty":"{jwk["kty"]}","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    digest = hashlib.sha256(canonical.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def published(key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """Make a key's entry in the document that others verify with."""
    return {**_jwk(key), "kid": thumbprint(key), "use": "sig", "alg": "ES256"}
