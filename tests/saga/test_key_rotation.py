"""The signing key is replaced while tokens of the last one are in use: nobody is shut out early."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from devstack.deployment import Deployment
from devstack.keys import create_signing_key
from pydantic import SecretStr

from tests.support.waiting import eventually

pytestmark = [pytest.mark.saga, pytest.mark.timeout(180)]


async def test_a_key_signs_then_only_verifies_then_counts_no_more(
    services: Deployment, tmp_path: Path
) -> None:
    last, new = (create_signing_key(tmp_path / name) for name in ("last.pem", "new.pem"))
    of_last, of_new = _token(last), _token(new)

    await _run(services, signs=last, verifies=None)
    await services.start("inventory")
    assert await _welcomed(services, of_last) == {200}
    assert await _welcomed(services, of_new) == {401}

    await _run(services, signs=new, verifies=_public(last))
    assert await _welcomed(services, of_last) == {200}
    # Inventory looks for a key that it does not know, though not every time it is asked.
    await eventually(lambda: _both(services, of_new, 200))

    await _run(services, signs=new, verifies=None)
    await services.stop("inventory")
    await services.start("inventory")
    assert await _welcomed(services, of_last) == {401}
    assert await _welcomed(services, of_new) == {200}


async def _run(services: Deployment, *, signs: Path, verifies: Path | None) -> None:
    """Have order-service sign with one key and, if told so, go on believing another."""
    await services.stop("order")
    keys = {"JWT_PRIVATE_KEY_FILE": str(signs)}
    if verifies:
        keys["JWT_VERIFY_KEYS_FILE"] = str(verifies)
    services.overrides["order"] = keys
    await services.start("order")


async def _both(services: Deployment, token: str, status: int) -> bool:
    return await _welcomed(services, token) == {status}


async def _welcomed(services: Deployment, token: str) -> set[int]:
    """Ask both services as the token's bearer; answers the statuses."""
    paths = (
        f"{services.url('order')}/api/v1/orders",
        f"{services.url('inventory')}/api/v1/inventory",
    )
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        return {(await http.get(path)).status_code for path in paths}


def _token(key: Path) -> str:
    settings = JwtIssuerSettings(jwt_private_key=SecretStr(key.read_text()))
    return TokenIssuer(settings).issue(Principal(uuid7(), frozenset({"staff"})))


def _public(private: Path) -> Path:
    key = load_pem_private_key(private.read_bytes(), None)
    path = private.with_suffix(".public.pem")
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path
