"""Keyset pages: a signed cursor that says where the next one begins."""

import base64
import hashlib
import hmac
from typing import Annotated

from common.errors import FieldError, Refusal
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from order_service.api.bodies import invalid

_ENTRIES = TypeAdapter(list[str])

_SIGNATURE_BYTES = 16
"""128 bits: nobody guesses one over HTTP."""


class PageQuery(BaseModel):
    """What every list understands; a filter that is not known is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True
    )

    limit: Annotated[int, Field(ge=1, le=100, description="entries on a page")] = 20
    cursor: Annotated[str, Field(max_length=512, description="`nextCursor` of the last page")] = ""


class Cursors:
    """Signs what a page ended with, so that only our own cursors come back."""

    def __init__(self, secret: bytes) -> None:
        """Take the secret that cursors are signed with; processes must share it."""
        self._secret = secret

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
        return hmac.digest(self._secret, b"cursor" + payload, hashlib.sha256)[:_SIGNATURE_BYTES]


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Name the next page in the Link header, relative to where the client reached us."""
    if cursor is not None:
        url = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


def _split(text: str) -> tuple[bytes, bytes]:
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, b"-_", validate=True)
    except ValueError:
        raise _forged() from None
    return raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]


def _forged() -> Refusal:
    return invalid(FieldError("query/cursor", "invalid", "use `nextCursor` as it was given"))
