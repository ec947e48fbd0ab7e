"""The table's row of tokens, against the two ways into the API: the direct route and FastAPI's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from common import auth
from cryptography.hazmat.primitives import serialization

from tests.support.shop import Caller, Shop

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

BODY = b'{"items": [{"sku": "TEA", "quantity": 1}]}'
JSON = {"Content-Type": "application/json"}


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _claims(**claims: object) -> dict[str, Any]:
    now = int(time.time())
    usual = {
        "iss": "pedido",
        "aud": "pedido-api",
        "sub": str(uuid4()),
        "roles": ["customer"],
        "iat": now,
        "nbf": now,
        "exp": now + 900,
    }
    return {name: value for name, value in (usual | claims).items() if value is not None}


def _sign(shop: Shop, claims: dict[str, Any], **headers: object) -> str:
    usual = {"typ": auth.TOKEN_TYPE, "kid": shop.issuer._kid}
    return jwt.encode(claims, shop.issuer._key, "ES256", headers=usual | headers)


def _none(shop: Shop) -> str:
    headers = {"typ": auth.TOKEN_TYPE, "kid": shop.issuer._kid}
    return jwt.encode(_claims(), "", "none", headers=headers)


def _hs256(shop: Shop) -> str:
    """Sign by hand: PyJWT itself refuses a public key as a secret."""
    public = shop.issuer._key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = {"alg": "HS256", "typ": auth.TOKEN_TYPE, "kid": shop.issuer._kid}
    signed = ".".join(_encode(json.dumps(part).encode()) for part in (header, _claims()))
    return f"{signed}.{_encode(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def _duplicate_claims(shop: Shop) -> str:
    payload = json.dumps(_claims()).encode()
    payload = payload[:-1] + b', "sub": "' + str(uuid4()).encode() + b'"}'
    headers = {"typ": auth.TOKEN_TYPE, "kid": shop.issuer._kid}
    return jwt.api_jws.encode(payload, shop.issuer._key, "ES256", headers=headers)


def _tampered(shop: Shop) -> str:
    head, _, signature = _sign(shop, _claims()).split(".")
    payload = json.dumps(_claims(roles=["admin"])).encode()
    return f"{head}.{_encode(payload)}.{signature}"


TOKENS: dict[str, Any] = {
    "alg none": _none,
    "HS256 signed with the public key": _hs256,
    "expired": lambda shop: _sign(shop, _claims(exp=int(time.time()) - 120)),
    "nbf ahead": lambda shop: _sign(shop, _claims(nbf=int(time.time()) + 300)),
    "wrong iss": lambda shop: _sign(shop, _claims(iss="somebody")),
    "wrong aud": lambda shop: _sign(shop, _claims(aud="another-api")),
    "no aud": lambda shop: _sign(shop, _claims(aud=None)),
    "wrong typ": lambda shop: _sign(shop, _claims(), typ="JWT"),
    "kid with a path": lambda shop: _sign(shop, _claims(), kid="../../dev/null"),
    "unknown kid": lambda shop: _sign(shop, _claims(), kid="someone-elses"),
    "jku": lambda shop: _sign(shop, _claims(), jku="https://evil.example/jwks.json"),
    "huge": lambda shop: _sign(shop, _claims(filler="x" * 100_000)),
    "duplicate claims": _duplicate_claims,
    "tampered": _tampered,
    "sub is no id": lambda shop: _sign(shop, _claims(sub="root")),
    "not a token": lambda _shop: "ey.ey.ey",
    "empty": lambda _shop: "",
}


@pytest.mark.parametrize("make", TOKENS.values(), ids=TOKENS.keys())
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_tokens_that_prove_nothing(stocked: Shop, make: Any, method: str) -> None:
    headers = {"Authorization": f"Bearer {make(stocked)}", "Idempotency-Key": "k"} | JSON

    answer = await stocked.http.request(method, "/orders", content=BODY, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] in {"unauthenticated", "token_expired"}


async def test_two_authorization_headers_prove_nothing(stocked: Shop, customer: Caller) -> None:
    headers = [("Authorization", f"Bearer {customer.token}")] * 2

    answer = await stocked.http.get("/orders", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
