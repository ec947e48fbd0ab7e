"""A small shop's application for the tests of HTTP: routes of each kind, and every failure."""

import re
from typing import Annotated, Any
from uuid import UUID

import httpx2
from common.errors import Contended, FieldError, Refusal, Unavailable
from common.health import Health
from common.http import Body, Moment, Params, Router, Wire, create_app
from common.settings import ServiceSettings
from fastapi import FastAPI, Query
from fastapi.responses import PlainTextResponse
from pydantic import Field

router = Router(tags=["shop"])
CANARY = "ana@example.com"
ID = "0198f3f0-0000-7000-8000-000000000001"


class Line(Wire):
    sku_code: str = Field(pattern=r"^[A-Z]{1,8}$")
    quantity: int = Field(ge=1, le=1000)


class Purchase(Body):
    purchase_id: UUID
    lines: tuple[Line, ...] = Field(min_length=1, max_length=1000)


class Answer(Wire):
    purchase_id: UUID
    line_count: int


@router.post("/purchases", status_code=202)
async def purchase(body: Purchase) -> Answer:
    return Answer(purchase_id=body.purchase_id, line_count=len(body.lines))


@router.get("/purchases/{purchase_id}")
async def find(purchase_id: UUID, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> str:
    return f"{purchase_id} {limit}"


class Search(Params):
    owner_id: UUID
    since: Moment | None = None
    limit: int = Field(20, ge=1, le=100)


@router.get("/purchases")
async def search(query: Annotated[Search, Query()]) -> str:
    return f"{query.owner_id} {query.limit}"


@router.get("/label", response_class=PlainTextResponse)
async def label() -> str:
    return "a label"


@router.post("/bell", status_code=204)
async def ring() -> None:
    return None


FAILURES: dict[str, Exception] = {
    "bug": RuntimeError(f"no row for {CANARY}"),
    "unavailable": Unavailable("the database is away", retry_after=3.2),
    "overloaded": Unavailable("the queue is full", code="overloaded"),
    "contended": Contended(),
    "refused": Refusal(
        "sold_out", "Take less.", errors=[FieldError("/lines/0", "short", "Two are left.")]
    ),
    "busy": Refusal("rate_limited", "Slower.", status=429, retry_after=7),
}


@router.get("/failures/{name}")
async def fail(name: str) -> None:
    raise FAILURES[name]


def application(**environment: Any) -> FastAPI:
    return create_app(
        title="Shop",
        service="shop-service",
        settings=ServiceSettings(**{"app_env": "test", **environment}),
        health=Health(),
        routers=[router],
        problems={"sold_out": "There is not enough of it."},
    )


def client(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop")


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"/api/problems#{code}"
    assert problem["title"]
    assert problem["detail"]
    assert isinstance(problem["retryable"], bool)
    assert re.fullmatch(r"[0-9a-f]{32}", problem["traceId"])
    assert problem["instance"] == f"urn:uuid:{UUID(problem['traceId'])}"
    return problem
