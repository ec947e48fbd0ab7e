"""Ana's access token, changed where a test says so, and who believes it."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
from common.auth import Principal, TokenVerifier
from common.keys import StaticKeys, thumbprint
from common.settings import JwtIssuerSettings
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ANA = Principal(UUID("0198f3f0-0000-7000-8000-000000000001"), frozenset({"customer"}))
KEY = ec.generate_private_key(ec.SECP256R1())
KID = thumbprint(KEY.public_key())
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()


def settings(**changes: Any) -> JwtIssuerSettings:
    return JwtIssuerSettings(**{"app_env": "test", "jwt_private_key": PEM, **changes})


def verifier(**changes: Any) -> TokenVerifier:
    return TokenVerifier(StaticKeys({KID: KEY.public_key()}), settings(**changes))


def token(
    claims: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    *,
    key: Any = KEY,
    algorithm: str = "ES256",
) -> str:
    now = int(time.time())
    good = {
        "iss": "pedido",
        "aud": "pedido-api",
        "sub": str(ANA.id),
        "roles": ["customer"],
        "iat": now,
        "nbf": now,
        "exp": now + 900,
    }
    body = {name: value for name, value in {**good, **(claims or {})}.items() if value is not None}
    return jwt.encode(
        body, key, algorithm=algorithm, headers={"typ": "at+jwt", "kid": KID, **(headers or {})}
    )
