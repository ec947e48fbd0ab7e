"""What callers of a route see of their tokens: who gets in, and what the others are told."""

from typing import Annotated

import httpx2
import pytest
from common.auth import Principal, TokenVerifier, caller
from common.health import Health
from common.http import Router, create_app
from fastapi import Depends
from tokens import ANA, settings, token, verifier


def test_a_role_that_does_not_exist_is_a_mistake_at_start() -> None:
    with pytest.raises(ValueError, match="no such role: root"):
        caller("root")


router = Router()


@router.get("/me")
async def me(principal: Annotated[Principal, Depends(caller())]) -> str:
    return str(principal.id)


@router.get("/staff")
async def staff_only(principal: Annotated[Principal, Depends(caller("staff", "admin"))]) -> str:
    return str(principal.id)


def client(believes: TokenVerifier | None) -> httpx2.AsyncClient:
    app = create_app(
        title="test",
        service="test-service",
        settings=settings(),
        health=Health(),
        verifier=believes,
        routers=[router],
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test/api/v1")


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def test_a_caller_with_a_good_token_is_known() -> None:
    async with client(verifier()) as http:
        answer = await http.get("/me", headers=bearer(token()))

    assert (answer.status_code, answer.json()) == (200, str(ANA.id))


@pytest.mark.parametrize(
    ("roles", "status"),
    [(["customer"], 403), ([], 403), (["staff"], 200), (["customer", "admin"], 200)],
    ids=["customer", "nobody", "staff", "customer and admin"],
)
async def test_a_route_lets_in_only_its_roles(roles: list[str], status: int) -> None:
    async with client(verifier()) as http:
        answer = await http.get("/staff", headers=bearer(token({"roles": roles})))

    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "forbidden"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("Authorization", token())],
        [("Authorization", f"Bearer {token()}"), ("Authorization", f"Bearer {token()}")],
    ],
    ids=["none", "basic", "empty", "no scheme", "twice"],
)
async def test_without_one_bearer_token_nobody_is_known(headers: list[tuple[str, str]]) -> None:
    async with client(verifier()) as http:
        answer = await http.get("/me", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="pedido"'


async def test_an_expired_token_is_told_in_the_challenge() -> None:
    async with client(verifier()) as http:
        answer = await http.get("/me", headers=bearer(token({"exp": 1_700_000_000})))

    assert answer.json()["code"] == "token_expired"
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_process_without_a_verifier_believes_nobody() -> None:
    async with client(None) as http:
        answer = await http.get("/me", headers=bearer(token()))

    assert answer.status_code == 401
