"""Answers that are not sent again to a client who has them: ETag and If-None-Match."""

from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

CONDITIONAL: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {
                "description": "the order's version; send it back as `If-None-Match`",
                "schema": {"type": "string", "examples": ['"7"']},
            }
        }
    },
    304: {"description": "Nothing changed since the version that `If-None-Match` names."},
}
"""What the API document says of such a route."""


def etag_of(version: int) -> str:
    """Name a version of an order."""
    return f'"{version}"'


def is_known(request: Request, etag: str) -> bool:
    """Tell whether the client has this version: any of a list, weak or strong, or any at all."""
    given = ",".join(request.headers.getlist("if-none-match"))
    candidates = {candidate.strip().removeprefix("W/") for candidate in given.split(",")}
    return bool(candidates & {etag, "*"})


def unchanged(etag: str) -> Response:
    """Say that there is nothing new."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
