import base64
import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import pytest_asyncio
from common.errors import Refusal
from common.health import Health
from common.http import Router, create_app
from common.paging import Cursors, Page, PageQuery, PagesOf
from common.settings import ServiceSettings
from fastapi import Query
from pydantic import SecretStr

router = Router()
NUMBERS = list(range(9, -1, -1))
KEY = SecretStr("k" * 32)


class Search(PageQuery):
    parity: int | None = None


@router.get("/numbers")
async def numbers(query: Annotated[Search, Query()], pages: PagesOf) -> Page[int]:
    after = pages.begin("numbers", query)
    below = int(after[0]) if after else 10
    found = [number for number in NUMBERS if number < below and query.parity in {None, number % 2}][
        : query.limit + 1
    ]
    shown, cursor = pages.cut("numbers", query, found, lambda number: [str(number)])
    return Page(data=list(shown), next_cursor=cursor)


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(
        title="Numbers",
        service="number-service",
        settings=ServiceSettings(app_env="test"),
        health=Health(),
        routers=[router],
    )
    app.state.cursors = Cursors(KEY)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://shop.example"
    ) as http:
        yield http


def next_of(answer: httpx2.Response) -> str | None:
    """Read the link as a client does."""
    match = re.fullmatch(r'<(/[^>]+)>; rel="next"', answer.headers.get("link", ""))
    return match[1] if match else None


async def test_following_the_links_shows_everything_once(http: httpx2.AsyncClient) -> None:
    url: str | None = "/api/v1/numbers?limit=4"
    pages = []

    while url:
        answer = await http.get(url)
        pages.append(answer.json()["data"])
        url = next_of(answer)

    assert pages == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]


async def test_the_link_and_the_body_name_the_same_page(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/api/v1/numbers?limit=2&parity=1")

    query = parse_qs(urlsplit(next_of(answer) or "").query)
    assert query == {"limit": ["2"], "parity": ["1"], "cursor": [answer.json()["nextCursor"]]}


async def test_the_last_page_leads_nowhere(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/api/v1/numbers?limit=10")

    assert answer.json()["nextCursor"] is None
    assert "link" not in answer.headers


async def test_the_link_is_no_word_of_the_callers(http: httpx2.AsyncClient) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}

    answer = await http.get("/api/v1/numbers?limit=1", headers=forged)

    assert (next_of(answer) or "").startswith("/api/v1/numbers?")


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=1e9",
        "limit=1000000000",
        "limit=many",
        "limit=5&limit=6&extra=1",
        f"cursor={'x' * 513}",
        "cursor=made-up",
        "cursor=%00",
        "cursor=%ff",
        "cursor=....",
    ],
)
async def test_a_question_that_can_not_be_answered_is_refused(
    http: httpx2.AsyncClient, query: str
) -> None:
    answer = await http.get(f"/api/v1/numbers?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    "forge",
    [
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: bytes([raw[0] ^ 1]) + raw[1:],
        lambda raw: raw + b" ",
        lambda raw: raw[:16],
        lambda raw: b"\x00" * 16 + raw[16:],
        lambda _: b"",
    ],
    ids=["end", "signature", "more", "signature alone", "no signature", "nothing"],
)
async def test_a_cursor_that_was_touched_is_refused(
    http: httpx2.AsyncClient, forge: Callable[[bytes], bytes]
) -> None:
    cursor = (await http.get("/api/v1/numbers?limit=1")).json()["nextCursor"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    touched = base64.urlsafe_b64encode(forge(raw)).decode().rstrip("=") or "_"

    answer = await http.get("/api/v1/numbers", params={"cursor": touched})

    assert answer.status_code == 422


def test_processes_that_share_a_key_read_each_others_cursors() -> None:
    one, two, stranger = Cursors(KEY), Cursors(KEY), Cursors(None)

    assert two.open("numbers", one.seal("numbers", "7")) == ["7"]
    with pytest.raises(Refusal):
        stranger.open("numbers", one.seal("numbers", "7"))
    with pytest.raises(Refusal):
        two.open("letters", one.seal("numbers", "7"))
