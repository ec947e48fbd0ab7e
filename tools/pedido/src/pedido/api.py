"""Requests to the services, whose refusals become one line and an exit code."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx2

from pedido.trouble import FOUND_TROUBLE, NO_CONNECTION, Trouble
from pedido.where import Service, Where

_SECONDS = 10.0
"""Above the services' own limit of 5 s for asking the broker."""


class Api:
    """Talks to the operator's side of one service."""

    def __init__(self, where: Where, service: Service) -> None:
        """Nothing is sent yet."""
        self._where = where
        self.service = service
        self.url = where.url(service)

    def get(self, path: str, **query: Any) -> Any:
        """Read from `/ops/v1`."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._ask("GET", f"/ops/v1{path}", params=given)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Write to `/ops/v1`; what was left out is not sent."""
        return self._write("POST", path, body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Replace something under `/ops/v1`."""
        return self._write("PUT", path, body)

    def _write(self, method: str, path: str, body: dict[str, Any]) -> Any:
        said = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": str(uuid4())}
        return self._ask(method, f"/ops/v1{path}", json=said, headers=headers)

    def pages(self, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """Read a list to its end, or to so many entries."""
        entries: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(entries) < limit:
            page = self.get(path, limit=min(100, limit - len(entries)), cursor=cursor, **query)
            entries += page["data"]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        return entries

    def _ask(self, method: str, path: str, *, headers: Any = None, **given: Any) -> Any:
        token = self._where.known.get("PEDIDO_TOKEN", "")
        if not token:
            raise Trouble(
                "no token: export PEDIDO_TOKEN=$(pedido token), or $(pedido login EMAIL)",
                NO_CONNECTION,
            )
        if not (token.isascii() and token.isprintable()):
            raise Trouble("PEDIDO_TOKEN is no token: it holds control characters", NO_CONNECTION)
        bearer = {"Authorization": f"Bearer {token}"} | (headers or {})
        answer = send(method, f"{self.url}{path}", headers=bearer, **given)
        return read(answer, self.service)


def send(method: str, url: str, **given: Any) -> httpx2.Response:
    """Send one request, or tell who does not answer."""
    try:
        return httpx2.request(method, url, timeout=_SECONDS, trust_env=False, **given)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        kind = type(error).__name__
        raise Trouble(
            f"{url.split('?', maxsplit=1)[0]} does not answer ({kind})", NO_CONNECTION
        ) from None


def read(answer: httpx2.Response, service: str) -> Any:
    """Take an answer's body, or raise what it refuses with."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Trouble(f"{service}: {answer.status_code}, and no JSON object")
    if answer.is_success:
        return body
    unknown = answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    code = NO_CONNECTION if unknown else FOUND_TROUBLE
    raise Trouble(f"{service}: {_reason(body)}", code)


def _reason(body: dict[str, Any]) -> str:
    wrong = "; ".join(f"{each['pointer']}: {each['detail']}" for each in body.get("errors", []))
    text = f"{body.get('code', 'refused')}: {body.get('detail', '')}"
    if body.get("code") == "token_expired":
        text += " Get a new one: export PEDIDO_TOKEN=$(pedido token)"
    return f"{text} ({wrong})" if wrong else text
