"""Idempotency-Key: its syntax, a body's fingerprint, and how a reused key is refused."""

import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel

from common import telemetry
from common.errors import Refusal

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
"""Visible ASCII: what every proxy and log carries unchanged."""

_IN_FLIGHT_RETRY_AFTER = 1.0
"""A transaction that holds a key ends in milliseconds, or at its time-out."""


def parse_key(values: Sequence[str]) -> str:
    """Read the header's one value, or refuse."""
    if not values or values[0] == "":
        raise _bad_key("send an Idempotency-Key header, a new random value for each new request")
    if len(values) > 1:
        raise _bad_key("send the Idempotency-Key header once")
    if _KEY.fullmatch(values[0]) is None:
        raise _bad_key("an Idempotency-Key is 1 to 255 visible ASCII characters")
    return values[0]


async def key_of(
    request: Request,
    _documented: Annotated[
        str | None,
        Header(alias="Idempotency-Key", description="1 to 255 visible ASCII characters"),
    ] = None,
) -> str:
    """Read the key that makes a repeated request harmless, or refuse with 400."""
    return parse_key(request.headers.getlist("idempotency-key"))


IdempotencyKey = Annotated[str, Depends(key_of)]


def fingerprint(body: BaseModel, *scope: str) -> bytes:
    """Digest what a body says, however it was spaced and in whatever order its members came.

    What it leaves to a default is left out, so that a member that is new here changes no old body.
    """
    canonical = "\n".join((*scope, body.model_dump_json(exclude_defaults=True)))
    return hashlib.sha256(canonical.encode()).digest()


def mismatch() -> Refusal:
    """Make the refusal of a key that stands for another body."""
    telemetry.IDEMPOTENCY.labels("mismatch").inc()
    return Refusal(
        "idempotency_mismatch",
        "this Idempotency-Key was used with another body; use a new key for a new request",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
    )


def in_flight() -> Refusal:
    """Make the refusal of a key whose first request has no answer yet."""
    telemetry.IDEMPOTENCY.labels("in_flight").inc()
    return Refusal(
        "idempotency_in_flight",
        "a request with this Idempotency-Key is still being handled; ask again in a moment",
        retry_after=_IN_FLIGHT_RETRY_AFTER,
    )


def _bad_key(detail: str) -> Refusal:
    return Refusal("idempotency_key_required", detail, status=HTTPStatus.BAD_REQUEST)
