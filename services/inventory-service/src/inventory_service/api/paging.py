"""Keyset pages: a signed cursor says where the next one begins."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from common.database import Database
from common.errors import FieldError, Refusal
from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

K = TypeVar("K", str, int)
T = TypeVar("T")

_SIGNATURE_BYTES = 16
"""128 bits: nobody guesses that over HTTP."""


class Filter(BaseModel):
    """What a query may say; anything else in it is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True
    )


class Page(Filter):
    """Which part of a list is asked for."""

    limit: Annotated[int, Field(ge=1, le=100, description="entries on the page")] = 20
    cursor: Annotated[
        str | None, Field(max_length=512, description="`nextCursor` of the page before")
    ] = None


class Cursors:
    """Signs what a page ended with, so that only our own cursors come back."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, listing: str, last: str | int) -> str:
        payload = json.dumps([listing, last]).encode()
        return base64.urlsafe_b64encode(self._sign(payload) + payload).rstrip(b"=").decode()

    def open(self, listing: str, text: str | None, first: K) -> K:
        """Read where the page before ended, or refuse a cursor that is not of this listing."""
        if text is None:
            return first
        try:
            raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True)
        except ValueError:
            raise _forged() from None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise _forged()
        name, last = json.loads(payload)
        if name != listing:
            raise _forged()
        return type(first)(last)

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, b"cursor" + payload, hashlib.sha256)[:_SIGNATURE_BYTES]


class Pages:
    """Where one request's page begins, and how it leads to the next one."""

    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response
        self._cursors: Cursors = request.app.state.cursors

    def begin(self, listing: str, page: Page, first: K) -> K:
        """Tell after which key the page begins."""
        return self._cursors.open(listing, page.cursor, first)

    def cut(
        self, listing: str, page: Page, rows: Sequence[T], key: Callable[[T], str | int]
    ) -> tuple[Sequence[T], str | None]:
        """Drop the row that only shows that there is more, and name the next page if so."""
        shown = rows[: page.limit]
        if len(rows) <= page.limit:
            return shown, None
        cursor = self._cursors.seal(listing, key(shown[-1]))
        # Relative, so that it leads back the way the client reached us.
        url = self._request.url.include_query_params(cursor=cursor)
        self._response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return shown, cursor


def _forged() -> Refusal:
    return Refusal(
        "validation_failed",
        "`errors` lists each wrong place. Mend them.",
        status=422,
        errors=[FieldError("query/cursor", "cursor", "use `nextCursor` as it was given")],
    )


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


DatabaseOf = Annotated[Database, Depends(_database)]
PagesOf = Annotated[Pages, Depends(Pages)]
