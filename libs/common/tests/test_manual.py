import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from common import problem
from common.errors import Refusal
from common.health import Health
from common.http import Router, create_app
from common.openapi import refuses
from common.settings import ServiceSettings
from typing_extensions import override

router = Router(tags=["shop"])
PAGES = ("/api/docs", "/api/redoc")


@router.get("/lamps", responses=refuses(sold_out=409))
async def lamps() -> None:
    detail = "Come again tomorrow."
    raise Refusal("sold_out", detail)


def client(**environment: Any) -> httpx2.AsyncClient:
    app = create_app(
        title="Shop",
        service="shop-service",
        settings=ServiceSettings(**{"app_env": "test", **environment}),
        health=Health(),
        routers=[router],
        problems={"sold_out": "There is <none> of it."},
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop")


class Sections(HTMLParser):
    """The text of each element that an anchor can lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._name = ""
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._name = dict(attrs)["id"] or ""
            self.found[self._name] = ""

    @override
    def handle_data(self, data: str) -> None:
        if self._name:
            self.found[self._name] += f" {data.strip()}"


async def explained() -> Mapping[str, str]:
    async with client(app_env="production") as http:
        answer = await http.get(problem.PATH)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Sections(answer.text).found


async def test_the_type_of_a_problem_leads_to_its_explanation() -> None:
    async with client() as http:
        path, _, anchor = (await http.get("/api/v1/lamps")).json()["type"].partition("#")
        page = (await http.get(path)).text

    section = " ".join(Sections(page).found[anchor].split())
    assert section == (
        "sold_out There is <none> of it. Status 409 Retryable no, mend the cause first"
    )


async def test_every_code_is_explained_in_production_too_with_its_status() -> None:
    found = await explained()

    assert set(found) == {*problem.MEANINGS, "sold_out"}
    for code in set(found) - {"edit_disabled", "invalid_state"}:  # no route here sends these
        text = found[code]
        assert re.search(r"Status \d{3}", " ".join(text.split())), code


@pytest.mark.parametrize(
    ("code", "answer"),
    [("rate_limited", "yes"), ("idempotency_in_flight", "yes"), ("malformed_json", "no")],
)
async def test_a_code_says_whether_to_send_again(code: str, answer: str) -> None:
    assert f"Retryable {answer}," in " ".join((await explained())[code].split())


@pytest.mark.parametrize("path", PAGES)
async def test_an_api_page_loads_nothing_from_elsewhere(path: str) -> None:
    async with client() as http:
        answer = await http.get(path)
        page = answer.text
        loaded = re.findall(r"""<(?:script|link)[^>]*(?:src|href)=["']([^"']+)""", page)

        assert len(loaded) >= 2
        for each in loaded:
            assert each.startswith("/api/assets/")
            assert (await http.get(each)).status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->|^\s*//.*$", "", page, flags=re.MULTILINE)
    assert "http" not in answer.headers["content-security-policy"]
    assert "/api/openapi.json" in page


async def test_production_shows_neither_pages_nor_document() -> None:
    async with client(app_env="production") as http:
        for path in (*PAGES, "/api/openapi.json", "/api/assets/swagger-ui.css"):
            answer = await http.get(path)

            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_production_shows_them_where_it_is_told_to() -> None:
    async with client(app_env="production", enable_docs=True) as http:
        for path in (*PAGES, "/api/openapi.json"):
            assert (await http.get(path)).status_code == 200
