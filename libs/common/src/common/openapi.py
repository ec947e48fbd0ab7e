"""The API document: what FastAPI derives, with every refusal, role and example that is implied."""

import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from fastapi.routing import iter_route_contexts
from pydantic.alias_generators import to_camel
from starlette.routing import BaseRoute

from common import problem

Json = dict[str, Any]
_Refusals = Mapping[int, tuple[str, ...]]

_METHODS = frozenset({"get", "post", "put", "patch", "delete"})
_KEY_HEADER = "Idempotency-Key"

_EVERY: _Refusals = {
    406: ("not_acceptable",),
    429: ("rate_limited",),
    500: ("internal_error",),
    503: ("not_ready", "overloaded"),
}
_WITH_BODY: _Refusals = {
    400: ("malformed_json",),
    408: ("request_timeout",),
    413: ("body_too_large",),
    415: ("unsupported_media_type",),
    422: ("validation_failed",),
}
_WITH_LOGIN: _Refusals = {401: ("unauthenticated", "token_expired")}
_WITH_ROLES: _Refusals = {403: ("forbidden",)}
_WITH_INPUT: _Refusals = {422: ("validation_failed",)}
_WITH_ID: _Refusals = {404: ("not_found",)}
_WITH_KEY: _Refusals = {
    400: ("idempotency_key_required",),
    409: ("idempotency_in_flight",),
    422: ("idempotency_mismatch",),
}

_RULES = (_EVERY, _WITH_BODY, _WITH_LOGIN, _WITH_ROLES, _WITH_INPUT, _WITH_ID, _WITH_KEY)


_LIMITS = {
    name: {"description": text, "schema": {"type": "string"}, "example": example}
    for name, text, example in (
        ("RateLimit-Policy", "The buckets that the request took from.", '"principal";q=6000;w=60'),
        ("RateLimit", "What is left in them, and when they are full.", '"principal";r=5999;t=1'),
    )
}
"""In every answer of a route that is limited; as the IETF's draft has it."""

_LIMITED = {name: {"$ref": f"#/components/headers/{name}"} for name in _LIMITS}


def refuses(**codes: int) -> dict[int | str, dict[str, Any]]:
    """Say which refusals of its own a route has, each code with its status."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code, status in codes.items():
        by_status[status].append(code)
    return {
        status: {"description": "Refused.", "x-codes": found} for status, found in by_status.items()
    }


def statuses(routes: Sequence[BaseRoute]) -> Mapping[str, set[int]]:
    """Tell with which statuses each code is sent: by rule, or as the routes say."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for status, code in problem.CODES.items():
        found[code].add(status)
    for status, codes in itertools.chain.from_iterable(rule.items() for rule in _RULES):
        for code in codes:
            found[code].add(status)
    for route in iter_route_contexts(routes):
        for key, response in getattr(route, "responses", {}).items():  # a mount has none
            for code in response.get("x-codes", ()):
                found[code].add(int(key))
    return found


def is_retryable(code: str, statuses: Collection[int]) -> bool:
    """Tell whether the same request may be sent again as it is."""
    return code == "idempotency_in_flight" or not {408, 429, 503}.isdisjoint(statuses)


def complete(document: Json, meanings: Mapping[str, str]) -> None:
    """Fill in what the routes imply and FastAPI can't know."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).setdefault("Problem", problem.SCHEMA)
    if schemes := components.get("securitySchemes"):
        components["securitySchemes"] = {"bearer": next(iter(schemes.values()))}
    components["headers"] = _LIMITS
    responses: Json = components.setdefault("responses", {})
    problems: Json = components.setdefault("examples", {})
    examples = _Examples(components["schemas"])
    for operation in _operations(document):
        _name_roles(operation)
        for parameter in operation.get("parameters", ()):
            _require_key(parameter)
            parameter.setdefault("example", examples.of(parameter["schema"]))
        _illustrate(_without_null(operation.get("requestBody", {})), examples)
        refusals = _refusals(operation)
        for response in operation["responses"].values():
            _illustrate(response, examples)
            response.setdefault("headers", {}).update(_LIMITED)
        for status, codes in sorted(refusals.items()):
            name = "_or_".join(codes)
            responses[name] = _refusal(status, codes, meanings)
            problems |= {code: {"value": _problem(status, code, meanings)} for code in codes}
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
    _link(document)


def _operations(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from (operation for method, operation in path.items() if method in _METHODS)


def _link(document: Json) -> None:
    """Lead from each answer that names a new thing to every operation on that thing."""
    takers: defaultdict[str, list[str]] = defaultdict(list)
    for path, item in document["paths"].items():
        for operation in (item[method] for method in _METHODS & item.keys()):
            for name in re.findall(r"{(\w+)}", path):
                takers[name].append(operation["operationId"])
    for item in document["paths"].values():
        for status in {"201", "202"} & item.get("post", {}).get("responses", {}).keys():
            answer = item["post"]["responses"][status]
            if links := dict(_links(document, answer, takers)):
                answer["links"] = links


def _links(
    document: Json, answer: Json, takers: Mapping[str, list[str]]
) -> Iterator[tuple[str, Json]]:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    named = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
    for name, operation_ids in takers.items():
        member = to_camel(name)
        if member in named.get("properties", {}):
            for operation_id in sorted(operation_ids):
                value = f"$response.body#/{member}"
                yield operation_id, {"operationId": operation_id, "parameters": {name: value}}


def _name_roles(operation: Json) -> None:
    """Turn the scheme's name, which carries the roles, into the list of roles of OpenAPI 3.1."""
    if security := operation.get("security"):
        (name,) = security[0]
        operation["security"] = [{"bearer": name.split()[1:]}]


def _require_key(parameter: Json) -> None:
    # Optional to FastAPI alone, so that its absence is our 400 and not a 422.
    if parameter["name"] == _KEY_HEADER:
        parameter |= {
            "required": True,
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "example": "order-2026-11-27-0001",
        }


def _refusals(operation: Json) -> dict[int, list[str]]:
    """List the codes that an operation may be refused with, by status, its own ones included."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for implied in _implied(operation):
        for status, codes in implied.items():
            found[status] += [code for code in codes if code not in found[status]]
    responses = operation["responses"]
    for status in [key for key, response in responses.items() if "x-codes" in response]:
        found[int(status)] += responses.pop(status)["x-codes"]
    responses.pop("422", None)  # FastAPI's own description of it
    return found


def _implied(operation: Json) -> Iterator[_Refusals]:
    parameters = operation.get("parameters", ())
    places = {parameter["in"] for parameter in parameters}
    security = operation.get("security")
    yield _EVERY
    if "requestBody" in operation:
        yield _WITH_BODY
    if security:
        yield _WITH_LOGIN
    if security and security[0]["bearer"]:
        yield _WITH_ROLES
    if places & {"path", "query"}:
        yield _WITH_INPUT
    if "path" in places:
        yield _WITH_ID
    if any(parameter["name"] == _KEY_HEADER for parameter in parameters):
        yield _WITH_KEY


def _refusal(status: int, codes: list[str], meanings: Mapping[str, str]) -> Json:
    headers: Json = dict(_LIMITED)
    if status in {429, 503} or "idempotency_in_flight" in codes:
        headers["Retry-After"] = {
            "description": "Seconds to wait before it is worth trying again.",
            "schema": {"type": "integer", "minimum": 1},
        }
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
    }
    return {
        "description": " ".join(f"`{code}`: {meanings[code]}" for code in codes),
        "headers": headers,
        "content": {problem.MEDIA_TYPE: content},
    }


def _problem(status: int, code: str, meanings: Mapping[str, str]) -> Json:
    document = {
        "type": f"{problem.PATH}#{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": meanings[code],
        "code": code,
        "retryable": is_retryable(code, {status}),
    }
    if code == "validation_failed":
        wrong = {"pointer": "/items/0/quantity", "code": "greater_than_equal", "detail": "too few"}
        document["errors"] = [wrong]
    return document


def _without_null(body: Json) -> Json:
    """Leave `null` out: a body that may be left out is no body that may be null."""
    for content in body.get("content", {}).values():
        schemas = [each for each in content["schema"].get("anyOf", ()) if each["type"] != "null"]
        if len(schemas) == 1:
            content["schema"] = schemas[0]
    return body


def _illustrate(message: Json, examples: "_Examples") -> None:
    """Give a body or an answer an example, unless its route has one."""
    for media_type, content in message.get("content", {}).items():
        given = "example" in content or "examples" in content
        if not given and media_type == "application/json" and "schema" in content:
            content["example"] = examples.of(content["schema"])


class _Examples:
    """Makes an example of a schema from the examples of its parts."""

    def __init__(self, schemas: Mapping[str, Json]) -> None:
        self._schemas = schemas

    def of(self, schema: Json) -> Any:
        """Take what the schema itself says first: an example, its one value, its default."""
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].rpartition("/")[2]])
        if given := schema.get("examples") or schema.get("enum"):
            return given[0]
        if "const" in schema or schema.get("default") is not None:
            return schema.get("const", schema.get("default"))
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self.of(choices[0])
        return self._typed(schema)

    def _typed(self, schema: Json) -> Any:
        match schema.get("type"):
            case "object":
                named = schema.get("properties", {})
                return {name: self.of(part) for name, part in named.items()}
            case "array":
                return [self.of(schema["items"])] if "items" in schema else []
            case "integer" | "number":
                return int(schema.get("minimum", 1))  # FastAPI turns it into a float
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return _text(schema)


def _text(schema: Json) -> str:
    match schema.get("format"):
        case "uuid":
            return "01a20dcd-e6ee-7297-aec0-1f43457b0314"
        case "date-time":
            return "2026-11-24T13:45:27.289336Z"
        case _:
            return str(schema.get("title", "text")).lower()
