"""Who is calling: ES256 access tokens, and the dependency that asks for roles."""

import base64
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Annotated, Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from common import keys, strict_json, telemetry
from common.errors import ConfigurationError, Refusal
from common.settings import JwtIssuerSettings, JwtSettings

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068's name of a kind, not a secret
ROLES = frozenset({"customer", "staff", "operator", "admin"})
STAFF = frozenset({"staff", "admin"})
"""Who sees and handles what is everybody's."""

_MAX_TOKEN = 4096
"""Ours take about 500 bytes; nobody may make us parse more than a few of those."""

_MAX_LIFE = 3600 + 60
"""Seconds: no issuer of ours makes a longer one, so a longer one is not ours."""

_HEADER_NAMES = frozenset({"alg", "typ", "kid"})
"""Any other header (jku, x5u, jwk, crit, …) would tell us whom to believe: refused."""

_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REMEMBERED = 10_000
"""Verified tokens kept: a signature check takes 0.1 ms of a core, a look-up nearly nothing."""

_REMEMBERED_FOR = 60.0
"""Seconds after which a token is checked against the keys again, so that a removed key counts."""

log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token speaks for, and what they may do."""

    id: UUID
    roles: frozenset[str]


class _Rejected(Exception):
    """Why a token is not believed: for the log, never for the caller."""


class TokenVerifier:
    """Believes a token only if every part of it is what our issuer writes."""

    def __init__(self, source: keys.Keys, settings: JwtSettings) -> None:
        self._keys = source
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._leeway = settings.jwt_leeway.total_seconds()
        self._remembered: dict[str, tuple[Principal, float, float]] = {}

    @classmethod
    def from_jwks(cls, settings: JwtSettings) -> "TokenVerifier":
        return cls(keys.JwksKeys(str(settings.jwt_jwks_url)), settings)

    async def verify(self, token: str) -> Principal:
        """Tell whom the token speaks for, or refuse with 401."""
        if (principal := self.recall(token)) is not None:
            return principal
        try:
            claims = await self._claims(token)
            principal = _principal(claims)
        except jwt.ExpiredSignatureError:
            raise _unauthenticated("expired", code="token_expired") from None
        except (jwt.PyJWTError, OverflowError) as error:  # PyJWT takes an infinite exp to int()
            raise _unauthenticated(type(error).__name__) from None
        except _Rejected as error:
            raise _unauthenticated(str(error)) from None
        self._remember(token, principal, claims["exp"])
        return principal

    def recall(self, token: str) -> Principal | None:
        """Tell whom the token speaks for if it was verified a moment ago."""
        remembered = self._remembered.get(token)
        if remembered is None:
            return None
        principal, expires, forget = remembered
        if time.time() < expires and time.monotonic() < forget:
            return principal
        del self._remembered[token]
        return None

    async def _claims(self, token: str) -> dict[str, Any]:
        kid = _kid(token)
        key = await self._keys.find(kid)
        if key is None:
            raise _Rejected("unknown key")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            leeway=self._leeway,
            options={"require": ["iss", "aud", "sub", "exp", "nbf", "iat"], "strict_aud": True},
        )
        _part(token.split(".")[1])  # PyJWT takes the last of two claims of one name
        if claims["exp"] - claims["iat"] > _MAX_LIFE:
            raise _Rejected("lives too long")
        return claims

    def _remember(self, token: str, principal: Principal, expires: float) -> None:
        if len(self._remembered) >= _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        forget = time.monotonic() + _REMEMBERED_FOR
        self._remembered[token] = (principal, expires + self._leeway, forget)


def _kid(token: str) -> str:
    parts = token.split(".")
    if len(token) > _MAX_TOKEN or len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        raise _Rejected("not a token")
    header = _part(parts[0])
    if header.keys() != _HEADER_NAMES:
        raise _Rejected("unexpected header names")
    if header["alg"] != ALGORITHM or header["typ"] != TOKEN_TYPE:
        raise _Rejected("wrong algorithm or type")
    kid = header["kid"]
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise _Rejected("unusable key id")
    return kid


def _part(text: str) -> dict[str, Any]:
    try:
        value = strict_json.parse(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, JSONDecodeError):
        raise _Rejected("a part is not JSON") from None
    if not isinstance(value, dict):
        raise _Rejected("a part is not an object")
    return value


def _principal(claims: Mapping[str, Any]) -> Principal:
    roles = claims.get("roles")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise _Rejected("unusable roles")
    try:
        return Principal(UUID(claims["sub"]), ROLES.intersection(roles))
    except ValueError:
        raise _Rejected("unusable subject") from None


def _unauthenticated(reason: str, *, code: str = "unauthenticated") -> Refusal:
    log.warning("authentication failed", code=code, reason=reason)
    detail = (
        "The access token is over: refresh it."
        if code == "token_expired"
        else "Log in and send the access token as `Authorization: Bearer`."
    )
    return Refusal(code, detail, status=401)


class TokenIssuer:
    """Signs access tokens with one private key, and publishes every key that may have signed."""

    def __init__(self, settings: JwtIssuerSettings) -> None:
        self._key = _load_key(settings)
        self._settings = settings
        self._kid = keys.thumbprint(self._key.public_key())
        believed = [self._key.public_key(), *_load_verify_keys(settings)]
        self._believed = {keys.thumbprint(key): key for key in believed}

    def issue(self, principal: Principal) -> str:
        now = int(time.time())
        claims = {
            "iss": self._settings.jwt_issuer,
            "aud": self._settings.jwt_audience,
            "sub": str(principal.id),
            "roles": sorted(principal.roles),
            "iat": now,
            "nbf": now,
            "exp": now + int(self._settings.jwt_expires_in.total_seconds()),
        }
        headers = {"typ": TOKEN_TYPE, "kid": self._kid}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers=headers)

    def jwks(self) -> dict[str, Any]:
        """Make the document that other services verify with."""
        return {"keys": [keys.published(key) for key in self._believed.values()]}

    def verifier(self) -> TokenVerifier:
        """Verify what this process issued without asking itself over HTTP."""
        return TokenVerifier(keys.StaticKeys(self._believed), self._settings)


def _load_key(settings: JwtIssuerSettings) -> ec.EllipticCurvePrivateKey:
    if settings.jwt_private_key is None:
        log.warning("signing key made up", reason="tokens die with this process; development only")
        return ec.generate_private_key(ec.SECP256R1())
    try:
        pem = settings.jwt_private_key.get_secret_value().encode()
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ConfigurationError(["JWT_PRIVATE_KEY: it is not a private key in PEM"]) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ConfigurationError(["JWT_PRIVATE_KEY: it must be an elliptic curve key on P-256"])
    return key


def _load_verify_keys(settings: JwtIssuerSettings) -> list[ec.EllipticCurvePublicKey]:
    try:
        return keys.of_pem(settings.jwt_verify_keys or "")
    except ValueError as error:
        raise ConfigurationError([f"JWT_VERIFY_KEYS: {error}"]) from None


class Caller(SecurityBase):
    """The dependency that tells who is calling, and lets in whoever has one of the roles.

    One object for the whole job: FastAPI takes 50 µs of every request for each dependency more.
    """

    def __init__(self, roles: frozenset[str]) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="from `POST /auth/login`")
        # The document's own way of carrying what FastAPI has no place for: see openapi.py.
        self.scheme_name = " ".join(("bearer", *sorted(roles)))
        self._roles = roles

    async def __call__(self, request: Request) -> Principal:
        """Tell who is calling, or refuse with 401 or 403."""
        principal = await _authenticate(request)
        if self._roles and not self._roles & principal.roles:
            log.warning("forbidden", user_id=principal.id, missing=sorted(self._roles))
            raise Refusal("forbidden", "Your role does not allow this.", status=403)
        return principal


def caller(*roles: str) -> Caller:
    """Make the dependency for a route: any of these roles, or anyone known if none is named."""
    unknown = set(roles) - ROLES
    if unknown:
        message = f"no such role: {', '.join(sorted(unknown))}"
        raise ValueError(message)
    return Caller(frozenset(roles))


async def _authenticate(request: Request) -> Principal:
    headers = request.headers.getlist("authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise _unauthenticated("no bearer token")
    verifier: TokenVerifier | None = request.app.state.verifier
    if verifier is None:
        raise _unauthenticated("this process believes nobody")
    return await verifier.verify(token.strip())


Authenticated = Annotated[Principal, Depends(caller())]
Staff = Annotated[Principal, Depends(caller(*STAFF))]
Admin = Annotated[Principal, Depends(caller("admin"))]


def is_staff(principal: Principal) -> bool:
    return bool(principal.roles & STAFF)


def owner_of(principal: Principal) -> UUID | None:
    """Tell whose things the caller may see: their own, or everybody's (None)."""
    return None if is_staff(principal) else principal.id
