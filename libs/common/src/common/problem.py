"""Every 4xx and 5xx as an RFC 9457 problem document, telling what to do and echoing nothing."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException

from common import telemetry
from common.errors import Contended, FieldError, Refusal, Unavailable

PATH = "/api/problems"
MEDIA_TYPE = "application/problem+json"

log = telemetry.get_logger()

MEANINGS: Mapping[str, str] = {
    "malformed_json": "The body is not JSON as RFC 8259 has it. Mend it; sending it again is vain.",
    "bad_request": "The request can't be read. Mend it; sending it again is vain.",
    "unauthenticated": "No usable access token came along. Log in and send one as `Bearer`.",
    "token_expired": "The access token is over. Refresh it and send the request again.",
    "forbidden": "The caller is known and may not do this.",
    "edit_disabled": "Messages are replayed as they came, unless the service runs with OPS_EDIT.",
    "not_found": "There is no such thing, or it is somebody else's.",
    "method_not_allowed": "The path exists; `Allow` lists what it answers to.",
    "not_acceptable": "`Accept` excludes everything that we can send here.",
    "request_timeout": "The body came too slowly. Send it again, at once.",
    "body_too_large": "The body is over the limit. Send less.",
    "unsupported_media_type": "Send the body as `application/json`.",
    "validation_failed": "`errors` lists each wrong place. Mend them.",
    "invalid_state": "It is not in a state in which this is possible. `detail` says what is.",
    "idempotency_key_required": "Send one Idempotency-Key of 1 to 255 visible ASCII characters.",
    "idempotency_in_flight": "A request with this key is being handled. Ask again in a moment.",
    "idempotency_mismatch": "This key was used with another body. Use a new one.",
    "rate_limited": "Too many requests. Wait as long as `Retry-After` says.",
    "overloaded": "More work came than can be done. Wait as long as `Retry-After` says.",
    "not_ready": "Something that is needed is away. Wait as long as `Retry-After` says.",
    "internal_error": "A bug of ours. Report it with its `traceId`.",
}
"""The codes that any service may answer with, and what the caller should do."""

SCHEMA: Mapping[str, Any] = {
    "title": "Problem",
    "type": "object",
    "description": "RFC 9457, with a stable `code`.",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "code": {"type": "string"},
        "traceId": {"type": "string"},
        "retryable": {"type": "boolean"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

CODES: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "not_ready",
}
"""What a status means when the framework sends it."""

_MAX_ERRORS = 20
"""A body of 1,000 wrong lines is explained well enough by the first twenty."""

_MAX_NAME = 64
"""A pointer repeats the names that came in; longer ones are no names of ours."""

_OWN_WORDS = {
    "uuid_parsing": "Input should be a valid UUID",
    "union_tag_invalid": "Input should be one of the known kinds",
    "string_pattern_mismatch": "Input does not have the required form",
    "value_error": "Input is not allowed",
    "model_type": "Input should be an object",
    "dict_type": "Input should be an object",
    "list_type": "Input should be an array",
    "tuple_type": "Input should be an array",
}
"""Pydantic's words for these repeat the input or a pattern, or speak of Python."""


def document(refusal: Refusal) -> Response:
    """Make the answer that a refusal stands for."""
    trace = telemetry.trace_id()
    body: dict[str, Any] = {
        "type": f"{PATH}#{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "retryable": refusal.retryable,
    }
    if trace is not None:
        body |= {"instance": f"urn:uuid:{UUID(trace)}", "traceId": trace}
    if refusal.errors:
        body["errors"] = [
            {"pointer": error.pointer, "code": error.code, "detail": error.detail}
            for error in refusal.errors
        ]
    return Response(
        orjson.dumps(body), refusal.status, headers=_headers(refusal), media_type=MEDIA_TYPE
    )


def _headers(refusal: Refusal) -> dict[str, str]:
    headers: dict[str, str] = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        expired = ', error="invalid_token"' if refusal.code == "token_expired" else ""
        headers["WWW-Authenticate"] = f'Bearer realm="pedido"{expired}'
    return headers


def not_found() -> Refusal:
    """Refuse in the same words what is absent and what is somebody else's."""
    return Refusal("not_found", MEANINGS["not_found"], status=404)


def internal_error() -> Response:
    """Say that it is our bug, and nothing about it but the trace id."""
    return document(Refusal("internal_error", "Report it with its traceId.", status=500))


def install(app: FastAPI) -> None:
    """Make every failure that the framework or a route raises a problem document."""
    app.exception_handler(Refusal)(_on_refusal)
    app.exception_handler(Unavailable)(_on_unavailable)
    app.exception_handler(Contended)(_on_contention)
    app.exception_handler(RequestValidationError)(_on_validation_error)
    app.exception_handler(HTTPException)(_on_http_exception)


async def _on_refusal(_request: Request, error: Refusal) -> Response:
    return document(error)


async def _on_unavailable(_request: Request, error: Unavailable) -> Response:
    if error.code != "overloaded":  # those come by the thousand, and metrics count them
        log.warning("unavailable", code=error.code, error=str(error))
    detail = MEANINGS.get(error.code, MEANINGS["not_ready"])
    return document(Refusal(error.code, detail, status=503, retry_after=error.retry_after))


async def _on_contention(_request: Request, error: Contended) -> Response:
    log.warning("contended", error=str(error))
    return document(Refusal("overloaded", MEANINGS["overloaded"], status=503, retry_after=1))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    code = CODES.get(error.status_code, "bad_request")
    response = document(Refusal(code, MEANINGS[code], status=error.status_code))
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_allowed(request))
    return response


def _allowed(request: Request) -> list[str]:
    """Name the methods of the path's first template: the framework names those of one route."""
    known = [
        (route.path, sorted(route.methods or ()), getattr(route, "path_regex", None))
        for route in iter_route_contexts(request.app.routes)
    ]
    path = request.scope["path"]
    templates = (each for each, _, regex in known if regex is not None and regex.match(path))
    template = next(templates, None)
    return sorted({method for each, methods, _ in known if each == template for method in methods})


async def _on_validation_error(_request: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    if any(entry["type"] == "json_invalid" for entry in found):
        reason = found[0].get("ctx", {}).get("error", "")
        detail = f"The body is not usable JSON: {reason}." if reason else MEANINGS["malformed_json"]
        return document(Refusal("malformed_json", detail, status=400))
    return document(
        Refusal(
            "validation_failed",
            MEANINGS["validation_failed"],
            status=422,
            errors=[_field_error(entry) for entry in found[:_MAX_ERRORS]],
        )
    )


def _field_error(entry: Mapping[str, Any]) -> FieldError:
    place, *path = entry["loc"]
    pointer = _pointer(path) if place == "body" else f"{place}{_pointer(path)}"
    return FieldError(pointer, entry["type"], _OWN_WORDS.get(entry["type"], entry["msg"]))


def _pointer(path: Sequence[str | int]) -> str:
    names = (telemetry.escape(str(part)[:_MAX_NAME]) for part in path)
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
