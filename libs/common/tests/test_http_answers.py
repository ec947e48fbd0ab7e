"""What every answer says: problems, headers, the API's document, metrics, traces."""

import re

import httpx2
import pytest
from shop_app import CANARY, ID, application, assert_problem, client


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
