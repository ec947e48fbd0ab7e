"""What may be asked: bodies, their type, what can be sent back, parameters."""

import json
from typing import Any

import httpx2
import pytest
from shop_app import CANARY, ID, assert_problem

JSON = {"Content-Type": "application/json"}


def body(**changes: Any) -> bytes:
    good = {"purchaseId": ID, "lines": [{"skuCode": "A", "quantity": 1}]}
    return json.dumps({**good, **changes}).encode()


def line(**changes: Any) -> bytes:
    return body(lines=[{"skuCode": "A", "quantity": 1, **changes}])


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
