"""Access tokens: which are believed and for how long, and the keys that sign them."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from common import auth, telemetry
from common.auth import TokenIssuer
from common.errors import ConfigurationError, Refusal
from common.keys import published, thumbprint
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tokens import ANA, KEY, KID, PEM, settings, token, verifier


def encoded(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: str, claims: str) -> str:
    """Sign two texts as they stand, however odd."""
    head = f"{encoded(header)}.{encoded(claims)}"
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(
        head.encode(), KEY
    )
    return f"{head}.{encoded(signature)}"


def claims_text(extra: str = "") -> str:
    claims = json.dumps(jwt.decode(token(), options={"verify_signature": False}))
    return claims[:-1] + extra + "}"


def with_expiry(value: str) -> str:
    return claims_text().replace('"exp": ', f'"exp": {value}, "was": ')


def header_text(extra: str = "") -> str:
    return f'{{"alg":"ES256","typ":"at+jwt","kid":"{KID}"{extra}}}'


def hmac_with_the_public_key() -> str:
    """Do by hand what libraries refuse to help with."""
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = f"{encoded(header_text().replace('ES256', 'HS256'))}.{encoded(claims_text())}"
    return f"{head}.{encoded(hmac.digest(public, head.encode(), hashlib.sha256))}"


def unsigned() -> str:
    header = header_text().replace("ES256", "none")
    return f"{encoded(header)}.{encoded(claims_text())}."


def foreign_key_in_header(name: str) -> Callable[[], str]:
    other = ec.generate_private_key(ec.SECP256R1())
    value: Any = {
        "jwk": published(other.public_key()),
        "jku": "https://attacker.example/jwks.json",
        "x5u": "https://attacker.example/chain.pem",
    }[name]
    return lambda: token(headers={name: value}, key=other)


REJECTED: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "garbage": lambda: "not-a-token",
    "four parts": lambda: token() + ".x",
    "not base64": lambda: "ä.ä.ä",
    "none": unsigned,
    "HS256 signed with the public key": hmac_with_the_public_key,
    "RS256": lambda: token(
        key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256"
    ),
    "signed by another key": lambda: token(key=ec.generate_private_key(ec.SECP256R1())),
    "nbf ahead": lambda: token({"nbf": int(time.time()) + 3600}),
    "iat ahead": lambda: token({"iat": int(time.time()) + 3600}),
    "wrong issuer": lambda: token({"iss": "somebody"}),
    "wrong audience": lambda: token({"aud": "another-api"}),
    "audience as a list": lambda: token({"aud": ["pedido-api", "another-api"]}),
    "wrong typ": lambda: token(headers={"typ": "JWT"}),
    "no typ": lambda: signed(f'{{"alg":"ES256","kid":"{KID}"}}', claims_text()),
    "no kid": lambda: signed('{"alg":"ES256","typ":"at+jwt"}', claims_text()),
    "kid with path traversal": lambda: token(headers={"kid": "../../../../dev/null"}),
    "kid as a number": lambda: signed('{"alg":"ES256","typ":"at+jwt","kid":7}', claims_text()),
    "unknown kid": lambda: token(headers={"kid": "another"}),
    "jku": foreign_key_in_header("jku"),
    "x5u": foreign_key_in_header("x5u"),
    "jwk": foreign_key_in_header("jwk"),
    "crit": lambda: token(headers={"crit": ["exp"]}),
    "huge": lambda: token({"padding": "x" * 8192}),
    "expiry is infinite": lambda: signed(header_text(), with_expiry("1e400")),
    "expiry is far": lambda: signed(header_text(), with_expiry("9" * 300)),
    "duplicate claims": lambda: signed(header_text(), claims_text(f',"sub":"{UUID(int=9)}"')),
    "duplicate header names": lambda: signed(header_text(',"alg":"ES256"'), claims_text()),
    "claims are a list": lambda: signed(header_text(), "[]"),
    "header is a list": lambda: signed("[]", claims_text()),
    "no subject": lambda: token({"sub": None}),
    "subject is no UUID": lambda: token({"sub": "ana"}),
    "no expiry": lambda: token({"exp": None}),
    "expiry is a text": lambda: signed(header_text(), with_expiry('"x"')),
    "expiry is null": lambda: signed(header_text(), with_expiry("null")),
    "issued at a text": lambda: signed(
        header_text(), claims_text().replace('"iat": ', '"iat": "x", "was": ')
    ),
    "no nbf": lambda: token({"nbf": None}),
    "no iat": lambda: token({"iat": None}),
    "lives for a year": lambda: token({"exp": int(time.time()) + 365 * 86400}),
    "roles are a text": lambda: token({"roles": "admin"}),
    "no roles": lambda: token({"roles": None}),
}


@pytest.mark.parametrize("make", REJECTED.values(), ids=REJECTED.keys())
async def test_a_token_that_our_issuer_would_not_write_is_not_believed(
    make: Callable[[], str],
) -> None:
    with pytest.raises(Refusal) as caught:
        await verifier().verify(make())

    assert (caught.value.status, caught.value.code) == (401, "unauthenticated")


async def test_a_token_that_is_over_is_told_apart() -> None:
    with pytest.raises(Refusal) as caught:
        await verifier().verify(token({"exp": int(time.time()) - 60}))

    assert (caught.value.status, caught.value.code) == (401, "token_expired")


async def test_a_small_clock_difference_is_forgiven() -> None:
    now = int(time.time())

    assert await verifier().verify(token({"exp": now - 5})) == ANA
    assert await verifier().verify(token({"nbf": now + 5, "iat": now + 5})) == ANA


async def test_a_remembered_token_still_ends() -> None:
    begun = time.time()
    leeway = begun % 1 + 0.5  # the claim is in whole seconds
    short = verifier(jwt_leeway=timedelta(seconds=leeway))
    text = token({"exp": int(begun)})
    assert await short.verify(text) == ANA

    await asyncio.sleep(int(begun) + leeway - time.time())

    with pytest.raises(Refusal) as caught:
        await short.verify(text)
    assert caught.value.code == "token_expired"


async def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_REMEMBERED", 2)
    small = verifier()

    for number in range(4):
        await small.verify(token({"jti": str(number)}))

    assert len(small._remembered) == 2


async def test_an_unknown_role_gives_nothing() -> None:
    principal = await verifier().verify(token({"roles": ["customer", "root"]}))

    assert principal.roles == {"customer"}


async def test_what_the_issuer_writes_the_verifier_believes() -> None:
    issuer = TokenIssuer(settings())

    assert await issuer.verifier().verify(issuer.issue(ANA)) == ANA
    assert await verifier().verify(issuer.issue(ANA)) == ANA


async def test_an_access_token_lives_as_long_as_the_setting_says() -> None:
    issuer = TokenIssuer(settings(jwt_expires_in=timedelta(minutes=5)))

    claims = jwt.decode(issuer.issue(ANA), options={"verify_signature": False})

    assert claims["exp"] - claims["iat"] == 300


def test_the_key_document_holds_the_public_key_alone() -> None:
    (entry,) = TokenIssuer(settings()).jwks()["keys"]

    assert entry.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert entry["kid"] == KID


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


async def test_keys_that_sign_nothing_are_published_and_believed_beside_the_one_that_signs() -> (
    None
):
    last, following = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    extra = public_pem(last) + "\n" + public_pem(following)

    issuer = TokenIssuer(settings(jwt_verify_keys=extra))

    names = [thumbprint(key.public_key()) for key in (KEY, last, following)]
    assert [entry["kid"] for entry in issuer.jwks()["keys"]] == names
    for key, kid in zip((KEY, last, following), names, strict=True):
        assert await issuer.verifier().verify(token(headers={"kid": kid}, key=key)) == ANA
    assert jwt.get_unverified_header(issuer.issue(ANA))["kid"] == KID


@pytest.mark.parametrize(
    "pem",
    [
        "not a key",
        PEM,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        public_pem(ec.derive_private_key(7, ec.SECP256R1())) + "and more",
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
    ids=["no key", "a private key", "a broken key", "a key and more", "an RSA key"],
)
def test_an_unusable_verification_key_is_bad_configuration(pem: str) -> None:
    with pytest.raises(ConfigurationError, match="JWT_VERIFY_KEYS") as caught:
        TokenIssuer(settings(jwt_verify_keys=pem))

    assert pem[:20] not in str(caught.value)


async def test_development_makes_up_a_key() -> None:
    issuer = TokenIssuer(settings(app_env="development", jwt_private_key=None))

    assert await issuer.verifier().verify(issuer.issue(ANA)) == ANA


@pytest.mark.parametrize(
    "pem",
    [
        "nonsense",
        ec.generate_private_key(ec.SECP384R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode(),
    ],
    ids=["nonsense", "another curve"],
)
def test_an_unusable_signing_key_is_bad_configuration(pem: str) -> None:
    with pytest.raises(ConfigurationError, match="JWT_PRIVATE_KEY") as caught:
        TokenIssuer(settings(jwt_private_key=pem))

    assert pem not in str(caught.value)


async def test_a_failure_is_logged_with_its_reason_and_without_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **fields: Any) -> None:
            seen.append({"event": event, **fields})

    monkeypatch.setattr(auth, "log", Log())
    text = token({"iss": "somebody"})

    with pytest.raises(Refusal):
        await verifier().verify(text)

    assert seen == [
        {
            "event": "authentication failed",
            "code": "unauthenticated",
            "reason": "InvalidIssuerError",
        }
    ]
    assert set(seen[0]) <= telemetry.LOG_FIELDS
