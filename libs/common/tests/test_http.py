import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from common.errors import Contended, FieldError, Refusal, Unavailable
from common.health import Health
from common.http import Body, Moment, Params, Router, Wire, create_app
from common.settings import ServiceSettings
from fastapi import FastAPI, Query
from fastapi.responses import PlainTextResponse
from pydantic import Field

router = Router(tags=["shop"])
CANARY = "ana@example.com"


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


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with client(application()) as http:
        yield http


JSON = {"Content-Type": "application/json"}
ID = "0198f3f0-0000-7000-8000-000000000001"


def body(**changes: Any) -> bytes:
    good = {"purchaseId": ID, "lines": [{"skuCode": "A", "quantity": 1}]}
    return json.dumps({**good, **changes}).encode()


def line(**changes: Any) -> bytes:
    return body(lines=[{"skuCode": "A", "quantity": 1, **changes}])


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


async def test_a_good_body_is_taken_and_answered_in_camel_case(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/api/v1/purchases", content=body(), headers=JSON)

    assert answer.status_code == 202
    assert answer.json() == {"purchaseId": ID, "lineCount": 1}


INVALID: dict[str, tuple[bytes, str, str]] = {
    "unknown field": (body(status="PAID"), "/status", "extra_forbidden"),
    "unknown field in a line": (line(price=1), "/lines/0/price", "extra_forbidden"),
    "missing field": (b'{"purchaseId": "%s"}' % ID.encode(), "/lines", "missing"),
    "no UUID": (body(purchaseId=CANARY), "/purchaseId", "uuid_parsing"),
    "no lines": (body(lines=[]), "/lines", "too_short"),
    "1,001 lines": (body(lines=json.loads(body())["lines"] * 1001), "/lines", "too_long"),
    "quantity 0": (line(quantity=0), "/lines/0/quantity", "greater_than_equal"),
    "quantity -1": (line(quantity=-1), "/lines/0/quantity", "greater_than_equal"),
    "quantity 1e9": (line(quantity=10**9), "/lines/0/quantity", "less_than_equal"),
    "quantity 1.0": (line(quantity=1.0), "/lines/0/quantity", "int_type"),
    "quantity text": (line(quantity="1"), "/lines/0/quantity", "int_type"),
    "quantity true": (line(quantity=True), "/lines/0/quantity", "int_type"),
    "quantity 2^63": (line(quantity=2**63), "/lines/0/quantity", "less_than_equal"),
    "sku with quotes": (line(skuCode="A'--"), "/lines/0/skuCode", "string_pattern_mismatch"),
    "sku with RTL mark": (line(skuCode="\u202eA"), "/lines/0/skuCode", "string_pattern_mismatch"),
    "sku of 10 KB": (line(skuCode="A" * 10_240), "/lines/0/skuCode", "string_pattern_mismatch"),
    "snake case unknown": (body(purchase_ID=ID), "/purchase_ID", "extra_forbidden"),
    "an array": (b"[]", "", "model_type"),
    "null": (b"null", "", "model_type"),
    "a slash in a name": (body(**{"a/b~c": 1}), "/a~1b~0c", "extra_forbidden"),
}


@pytest.mark.parametrize(("raw", "pointer", "code"), INVALID.values(), ids=INVALID.keys())
async def test_a_wrong_body_is_explained_by_place(
    http: httpx2.AsyncClient, raw: bytes, pointer: str, code: str
) -> None:
    answer = await http.post("/api/v1/purchases", content=raw, headers=JSON)

    problem = assert_problem(answer, 422, "validation_failed")
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in problem["errors"]]
    assert all(error["detail"] for error in problem["errors"])
    assert CANARY not in answer.text


async def test_a_thousand_wrong_lines_are_explained_briefly(http: httpx2.AsyncClient) -> None:
    wrong = body(lines=[{"skuCode": "a" * 60, "quantity": 0}] * 1000)

    answer = await http.post("/api/v1/purchases", content=wrong, headers=JSON)

    assert len(assert_problem(answer, 422, "validation_failed")["errors"]) == 20
    assert len(answer.content) < 8192


async def test_a_name_of_100_kb_is_not_repeated(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/api/v1/purchases", content=body(**{"x" * 100_000: 1}), headers=JSON)

    assert len(assert_problem(answer, 422, "validation_failed")["errors"][0]["pointer"]) < 80


MALFORMED = {
    "no body": b"",
    "no JSON": b"{quantity: 1}",
    "NaN": b'{"quantity": NaN}',
    "Infinity": b'{"quantity": Infinity}',
    "duplicate name": b'{"purchaseId": 1, "purchaseId": 2}',
    "depth 10,000": b"[" * 10_000 + b"]" * 10_000,
    "BOM": b"\xef\xbb\xbf" + body(),
    "lone surrogate": b'{"purchaseId": "\\ud800"}',
    "NUL in text": b'{"purchaseId": "a\\u0000b"}',
    "not UTF-8": b'{"purchaseId": "\xff"}',
    "cut off": body()[:-1],
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_not_strict_json_is_refused(http: httpx2.AsyncClient, raw: bytes) -> None:
    answer = await http.post("/api/v1/purchases", content=raw, headers=JSON)

    if raw:
        assert_problem(answer, 400, "malformed_json")
    else:
        assert_problem(answer, 422, "validation_failed")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/problem+json",
        "application/json; charset=latin-1",
    ],
)
async def test_a_body_of_another_type_is_refused(
    http: httpx2.AsyncClient, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    answer = await http.post("/api/v1/purchases", content=body(), headers=headers)

    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
async def test_json_may_say_its_charset(http: httpx2.AsyncClient, content_type: str) -> None:
    headers = {"Content-Type": content_type}

    answer = await http.post("/api/v1/purchases", content=body(), headers=headers)

    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("image/png", 406),
        ("application/json;q=0", 406),
        ("", 406),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.5", 200),
    ],
)
async def test_only_what_can_be_sent_is_accepted(
    http: httpx2.AsyncClient, accept: str, status: int
) -> None:
    answer = await http.get(f"/api/v1/purchases/{ID}", headers={"Accept": accept})

    assert answer.status_code == status
    if status == 406:
        assert_problem(answer, 406, "not_acceptable")


async def test_a_route_may_send_another_type(http: httpx2.AsyncClient) -> None:
    good = await http.get("/api/v1/label", headers={"Accept": "text/plain"})
    bad = await http.get("/api/v1/label", headers={"Accept": "application/json"})

    assert (good.status_code, good.text) == (200, "a label")
    assert_problem(bad, 406, "not_acceptable")


async def test_a_route_without_a_body_asks_for_no_type(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/api/v1/bell")).status_code == 204


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/api/v1/purchases/not-a-uuid", "path/purchase_id"),
        (f"/api/v1/purchases/{ID}?limit=-1", "query/limit"),
        (f"/api/v1/purchases/{ID}?limit=1000000000", "query/limit"),
        (f"/api/v1/purchases/{ID}?limit=many", "query/limit"),
    ],
    ids=["no UUID", "limit -1", "limit 1e9", "limit text"],
)
async def test_a_wrong_parameter_is_explained(
    http: httpx2.AsyncClient, path: str, pointer: str
) -> None:
    problem = assert_problem(await http.get(path), 422, "validation_failed")

    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"ownerId={ID}&limit=5", 200),
        (f"ownerId={ID}&color=red", 422),
        (f"ownerId={ID}&limit=0", 422),
        ("limit=5", 422),
        (f"ownerId={ID}&since=2026-11-27T10:00:00%2B01:00", 200),
        (f"ownerId={ID}&since=2026-11-27T10:00:00", 422),
        (f"ownerId={ID}&since=0.5", 422),
        (f"ownerId={ID}&since=1700000000", 422),
        (f"ownerId={ID}&since=0001-01-01T00:00:00%2B14:00", 422),
    ],
    ids="known,unknown filter,limit 0,missing,time,no offset,fraction,seconds,no calendar".split(
        ","
    ),
)
async def test_a_query_is_read_as_text_and_nothing_unknown_is_taken(
    http: httpx2.AsyncClient, query: str, status: int
) -> None:
    assert (await http.get(f"/api/v1/purchases?{query}")).status_code == status


@pytest.mark.parametrize("path", ["/", "/nope", "/api/v1/nope", "/api/v1/label/", "/api/assets/x"])
async def test_an_unknown_path_is_a_problem_document_too(
    http: httpx2.AsyncClient, path: str
) -> None:
    assert_problem(await http.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_a_wrong_method_is_told_the_right_one(http: httpx2.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/api/v1/bell")

    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_path_of_several_routes_lists_all_methods(http: httpx2.AsyncClient) -> None:
    answer = await http.delete("/api/v1/purchases")

    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_a_bug_is_answered_with_a_trace_id_alone(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/api/v1/failures/bug")

    problem = assert_problem(answer, 500, "internal_error")
    assert CANARY not in answer.text
    assert "Traceback" not in answer.text
    assert problem["detail"] == "Report it with its traceId."


@pytest.mark.parametrize(
    ("name", "status", "code", "retry_after"),
    [
        ("unavailable", 503, "not_ready", "4"),
        ("overloaded", 503, "overloaded", "2"),
        ("contended", 503, "overloaded", "1"),
        ("busy", 429, "rate_limited", "7"),
    ],
)
async def test_what_passes_says_when_to_come_again(
    http: httpx2.AsyncClient, name: str, status: int, code: str, retry_after: str
) -> None:
    answer = await http.get(f"/api/v1/failures/{name}")

    assert assert_problem(answer, status, code)["retryable"] is True
    assert answer.headers["retry-after"] == retry_after


async def test_a_refusal_carries_its_places(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/api/v1/failures/refused")

    problem = assert_problem(answer, 409, "sold_out")
    assert problem["errors"] == [
        {"pointer": "/lines/0", "code": "short", "detail": "Two are left."}
    ]
    assert "retry-after" not in answer.headers


EVERY_ANSWER = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "ratelimit-policy": '"address";q=3000;w=60',
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/label", "text/plain; charset=utf-8"),
        (f"/api/v1/purchases/{ID}", "application/json"),
        ("/api/v1/failures/bug", "application/problem+json"),
        ("/nope", "application/problem+json"),
    ],
    ids=["text", "JSON", "bug", "nowhere"],
)
async def test_an_answer_has_these_headers_and_no_others(
    http: httpx2.AsyncClient, path: str, kind: str
) -> None:
    headers = dict((await http.get(path)).headers)

    assert re.fullmatch(r'"address";r=\d+;t=\d+', headers.pop("ratelimit"))
    assert re.fullmatch(r"[0-9a-f]{32}", headers.pop("x-correlation-id"))
    assert headers.pop("content-length")
    assert headers == EVERY_ANSWER | {"content-type": kind}


async def test_every_answer_carries_the_security_headers(http: httpx2.AsyncClient) -> None:
    for path in ("/api/v1/label", "/nope", "/api/v1/failures/bug", "/api/docs"):
        headers = (await http.get(path)).headers

        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-correlation-id"]
        assert "server" not in headers
        assert "x-powered-by" not in headers


async def test_the_api_document_shows_problems_and_camel_case(http: httpx2.AsyncClient) -> None:
    document = (await http.get("/api/openapi.json")).json()

    route = document["paths"]["/api/v1/purchases"]["post"]
    sent = route["requestBody"]["content"]["application/json"]["schema"]
    assert set(sent["properties"]) == {"purchaseId", "lines"}
    assert sent["additionalProperties"] is False
    assert sorted(route["responses"]) == "202 400 406 408 413 415 422 429 500 503".split()
    name = route["responses"]["503"]["$ref"].removeprefix("#/components/responses/")
    busy = document["components"]["responses"][name]
    assert busy["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    assert "Retry-After" in busy["headers"]


async def test_metrics_name_routes_and_never_ids(http: httpx2.AsyncClient) -> None:
    await http.get(f"/api/v1/purchases/{ID}")
    await http.request("BREW", "/api/v1/label")

    text = (await http.get("/metrics")).text

    assert 'route="/purchases/{purchase_id}",status="200"' in text
    assert 'method="OTHER"' in text
    assert "BREW" not in text
    assert ID not in text


async def test_metrics_can_be_turned_off() -> None:
    async with client(application(enable_prometheus=False)) as http:
        assert (await http.get("/metrics")).status_code == 404


async def test_a_trace_is_continued_into_the_problem(http: httpx2.AsyncClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Correlation-Id": "checkout-1"}

    answer = await http.get("/nope", headers=headers)

    assert answer.json()["traceId"] == trace
    assert answer.headers["x-correlation-id"] == "checkout-1"


async def test_a_forged_correlation_id_is_not_sent_back(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/nope", headers={"X-Correlation-Id": "a b<script>"})

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-correlation-id"])
