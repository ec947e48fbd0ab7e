"""Keyset pages: a signed cursor says where the next one begins."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import Field, SecretStr, TypeAdapter

from common import problem
from common.errors import FieldError, Refusal
from common.http import Params, Wire

T = TypeVar("T")

_ENTRIES = TypeAdapter(list[str])

_SIGNATURE_BYTES = 16
"""128 bits: nobody guesses that over HTTP."""


class PageQuery(Params):
    """Which part of a list is asked for; anything else in the query is refused."""

    limit: Annotated[int, Field(ge=1, le=100, description="entries on a page")] = 20
    cursor: Annotated[str, Field(max_length=512, description="`nextCursor` of the last page")] = ""


class Page(Wire, Generic[T]):
    """One page of a list; `nextCursor` is null on the last."""

    data: list[T]
    next_cursor: str | None


class Cursors:
    """Signs what a page ended with, so that only our own cursors come back."""

    def __init__(self, key: SecretStr | None) -> None:
        """Take the key that a service's processes share; without one, this process makes it up."""
        self._key = key.get_secret_value().encode() if key else secrets.token_bytes(32)

    def seal(self, listing: str, *last: str) -> str:
        """Write down where a page of this listing ended."""
        payload = _ENTRIES.dump_json([listing, *last])
        return base64.urlsafe_b64encode(self._sign(payload) + payload).rstrip(b"=").decode()

    def open(self, listing: str, text: str) -> list[str]:
        """Read where the page before ended (nowhere for the first), or refuse what is not ours."""
        if not text:
            return []
        signature, payload = _split(text)
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise _forged()
        name, *last = _ENTRIES.validate_json(payload)
        if name != listing:
            raise _forged()
        return last

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, b"cursor" + payload, hashlib.sha256)[:_SIGNATURE_BYTES]


class Pages:
    """Where one request's page begins, and how it leads to the next one."""

    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response
        self._cursors: Cursors = request.app.state.cursors

    def begin(self, listing: str, query: PageQuery) -> list[str]:
        """Tell after which key the page begins; the first begins after nothing."""
        return self._cursors.open(listing, query.cursor)

    def begin_in_time(self, listing: str, query: PageQuery) -> tuple[datetime, UUID] | None:
        """Tell after which moment and id a page of a list by time begins."""
        last = self.begin(listing, query)
        return (datetime.fromisoformat(last[0]), UUID(last[1])) if last else None

    def cut(
        self, listing: str, query: PageQuery, rows: Sequence[T], key: Callable[[T], Sequence[str]]
    ) -> tuple[Sequence[T], str | None]:
        """Drop the row that only shows that there is more, and name the next page if so."""
        shown = rows[: query.limit]
        if len(rows) <= query.limit:
            return shown, None
        cursor = self._cursors.seal(listing, *key(shown[-1]))
        # Relative, so that it leads back the way the client reached us.
        url = self._request.url.include_query_params(cursor=cursor)
        self._response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return shown, cursor


PagesOf = Annotated[Pages, Depends(Pages)]


def _split(text: str) -> tuple[bytes, bytes]:
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, b"-_", validate=True)
    except ValueError:
        raise _forged() from None
    return raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]


def _forged() -> Refusal:
    return Refusal(
        "validation_failed",
        problem.MEANINGS["validation_failed"],
        status=422,
        errors=[FieldError("query/cursor", "invalid", "use `nextCursor` as it was given")],
    )
