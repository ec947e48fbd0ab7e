"""Every route × everybody: who gets in, who is sent away, and for whom a thing does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx2
import pytest

from tests.api.documents import DOCUMENTS, Operation, operations

if TYPE_CHECKING:
    from tests.api.conftest import Market

PEOPLE = ("nobody", "other", "owner", "staff", "operator", "admin")
LET_IN = {
    "public": set(PEOPLE),
    "known": set(PEOPLE) - {"nobody"},
    "own": {"owner", "staff", "admin"},
    "staff": {"staff", "admin"},
    "admin": {"admin"},
    "operator": {"operator"},
    "office": {"staff", "operator", "admin"},
}
ROLES = {
    "public": None,
    "known": [],
    "own": [],
    "staff": ["admin", "staff"],
    "admin": ["admin"],
    "operator": ["operator"],
    "office": ["admin", "operator", "staff"],
}
"""Audience → what its operations say of themselves in the document."""


def rows() -> Iterator[tuple[str, str]]:
    """Read the table: (service and operation, audience)."""
    services: tuple[str, ...] = ()
    for line in (Path(__file__).parent / "access.txt").read_text().splitlines():
        text = line.partition("#")[0]
        if text and not text.startswith(" "):
            services = tuple(DOCUMENTS) if text == "every service" else (text,)
        elif text.strip():
            audience, name = text.split(maxsplit=1)
            yield from ((f"{service} {name}", audience) for service in services)


DOOR = ("Your role does not allow this.", "Log in and send the access token")
AUDIENCES = dict(rows())
# What is removed is removed last, so that the others find it.
OPERATIONS = sorted(operations(), key=lambda each: each.method == "DELETE")

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert sorted(AUDIENCES) == sorted(each.label for each in operations())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
def test_the_document_names_the_same_roles(operation: Operation) -> None:
    security = operation.says.get("security")

    assert (security[0]["bearer"] if security else None) == ROLES[AUDIENCES[operation.label]]


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
async def test_who_gets_in(market: Market, operation: Operation, person: str) -> None:
    audience = AUDIENCES[operation.label]

    answer = await ask(market, operation, person)

    assert answer.status_code < 500, answer.text
    if person in LET_IN[audience]:
        assert not _turned_away(answer), answer.text
        if audience == "own":
            assert answer.status_code != 404, answer.text
    elif person == "nobody":
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    elif audience == "own":
        assert answer.status_code == 404, answer.text
        absent = await ask(market, operation, person, things={})
        assert _words(absent) == _words(answer)
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def ask(
    market: Market, operation: Operation, person: str, things: dict[str, str] | None = None
) -> httpx2.Response:
    """Send the document's own example, for things of the owner unless told otherwise."""
    known = market.things if things is None else things
    examples = {each["name"]: each["example"] for each in operation.says.get("parameters", ())}
    path = operation.path.format(**{**examples, **_absent(operation), **known})
    headers = {"Idempotency-Key": str(uuid4())}
    if person != "nobody":
        headers["Authorization"] = f"Bearer {market.tokens[person]}"
    async with httpx2.AsyncClient(base_url=market.url(operation.service), timeout=30) as http:
        return await http.request(operation.method, path, headers=headers, json=operation.example)


def _absent(operation: Operation) -> dict[str, str]:
    return {
        each["name"]: str(uuid4())
        for each in operation.says.get("parameters", ())
        if each["schema"].get("format") == "uuid"
    }


def _turned_away(answer: httpx2.Response) -> bool:
    """Tell a refusal at the door from one for what was sent: a wrong password, a bad signature."""
    return answer.status_code in {401, 403} and answer.json()["detail"].startswith(DOOR)


def _words(answer: httpx2.Response) -> dict[str, object]:
    return {
        name: value for name, value in answer.json().items() if name not in {"instance", "traceId"}
    }
