"""A service's web application: strict bodies, problem documents, health, metrics, API pages."""

import re
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self

import prometheus_client
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    Strict,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from common import edge, manual, openapi, problem, strict_json
from common import health as probes
from common.auth import TokenVerifier
from common.errors import Refusal
from common.limits import Limits
from common.settings import ServiceSettings

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+$"
"""Text without what moves a cursor, breaks a line or turns the reading direction."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def _written(value: object) -> object:
    # Pydantic would take a number for seconds since 1970.
    if isinstance(value, str | int | float) and not _RFC_3339.fullmatch(str(value)):
        message = "write a time as RFC 3339 has it, with its offset"
        raise ValueError(message)
    return value


def _storable(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        message = "the time is out of every calendar"
        raise ValueError(message) from None


Moment = Annotated[
    AwareDatetime, Strict(strict=False), BeforeValidator(_written), AfterValidator(_storable)
]
"""A time as a client writes it: RFC 3339 with an offset, and nothing else."""


class Wire(BaseModel):
    """What goes over the wire: camelCase outside, snake_case inside, nothing unknown."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
    )


class Params(BaseModel):
    """A query's parameters: camelCase, nothing unknown; lax, since all of a query is text."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
    )


class _Raw:
    """A request's bytes, known to be strict JSON."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class Body(Wire):
    """A request's body: read from its bytes, so that `strict` means JSON's types, not Python's."""

    @override
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)

        def from_python(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if isinstance(value, _Raw):
                return cls.model_validate_json(value.content)
            return inner(value)

        return core_schema.json_or_python_schema(
            json_schema=schema,
            python_schema=core_schema.no_info_wrap_validator_function(from_python, schema),
        )


def as_checked(schema: dict[str, Any], model: type["Changes"]) -> None:
    """Document that one member at least is there, and which ones may be null."""
    schema["minProperties"] = 1
    clearable = {to_camel(name) for name in model.CLEARABLE}
    for name, member in schema["properties"].items():
        del member["default"]
        if name not in clearable:
            choices = [each for each in member.pop("anyOf", ()) if each.get("type") != "null"]
            member.update({**choices[0], **member} if len(choices) == 1 else {"anyOf": choices})


class Changes(Body):
    """What to change: a member that is left out stays as it is, and one at least is there."""

    CLEARABLE: ClassVar[frozenset[str]] = frozenset()
    """What null takes away; nothing else may be null."""

    model_config = ConfigDict(json_schema_extra=as_checked)

    @model_validator(mode="after")
    def _change_something(self) -> Self:
        given = self.model_fields_set
        if not given or any(getattr(self, name) is None for name in given - self.CLEARABLE):
            message = "nothing to change"
            raise ValueError(message)
        return self


class _StrictRequest(Request):
    """Hands FastAPI the checked bytes where it asks for parsed JSON."""

    @override
    async def json(self) -> Any:
        raw = await self.body()
        strict_json.parse(raw)
        return _Raw(raw)


class StrictRoute(APIRoute):
    """Refuses what it can't read (415), can't answer in (406), or what is not strict JSON (400)."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        body = self.body_field
        response_class = self.response_class
        if isinstance(response_class, DefaultPlaceholder):
            response_class = response_class.value
        offered = response_class.media_type or "application/json"

        async def strict(request: Request) -> Response:
            _check_accept(request.headers.get("accept"), offered)
            if body is None:
                return await handle(request)
            request = _StrictRequest(request.scope, request.receive)
            if body.field_info.is_required() or await request.body():
                _check_content_type(request.headers.get("content-type", ""))
            return await handle(request)

        return strict


class Router(APIRouter):
    """The router that services use: every route of it is strict."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=StrictRoute, redirect_slashes=False, **options)


def _check_content_type(value: str) -> None:
    kind, _, parameters = value.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in {"", "utf-8"}:
        detail = problem.MEANINGS["unsupported_media_type"]
        raise Refusal("unsupported_media_type", detail, status=415)


def _check_accept(value: str | None, offered: str) -> None:
    if value is None or value in {"*/*", offered}:
        return
    wildcard = offered.partition("/")[0] + "/*"
    for item in value.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        refused = any(part in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for part in parameters)
        if kind in {"*/*", wildcard, offered} and not refused:
            return
    raise Refusal("not_acceptable", f"Only {offered} can be sent here.", status=406)


class _Application(FastAPI):
    """FastAPI whose document describes the answers that every route may give."""

    meanings: Mapping[str, str] = problem.MEANINGS

    @override
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            openapi.complete(super().openapi(), self.meanings)
        return super().openapi()


def create_app(
    *,
    title: str,
    service: str,
    settings: ServiceSettings,
    health: probes.Health,
    verifier: TokenVerifier | None = None,
    routers: Sequence[APIRouter] = (),
    problems: Mapping[str, str] | None = None,
    unlimited: Collection[str] = (),
) -> FastAPI:
    """Build the application; `routers` go under the API prefix, `problems` explains own codes.

    Calls of the paths in `unlimited` (under the prefix too) count against no rate.
    Without a verifier nobody is believed.
    """
    app = _Application(
        title=title,
        description=f"Problem codes are explained at [{problem.PATH}]({problem.PATH}).",
        docs_url=None,
        redoc_url=None,
        openapi_url=manual.OPENAPI_PATH if settings.serves_docs else None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.meanings = {**problem.MEANINGS, **(problems or {})}
    app.state.verifier = verifier
    app.state.health = health
    health.timeout = settings.health_check_timeout.total_seconds()
    problem.install(app)
    app.state.limits = Limits(settings, service=service, verifier=verifier)
    free = {f"{settings.api_prefix}{path}" for path in ("/health/live", *unlimited)}
    app.add_middleware(
        edge.Edge,
        limits=app.state.limits,
        unlimited=free | {"/metrics"},
        unshed=(f"{settings.api_prefix}/health", "/metrics", "/ops/"),
    )
    for router in (probes.routes(health, service), *routers):
        app.include_router(router, prefix=settings.api_prefix)
    manual.add_problems(app, app.meanings)
    if settings.serves_docs:
        manual.add_pages(app)
    if settings.enable_prometheus:
        _add_metrics(app)
    return app


def _add_metrics(app: FastAPI) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        content = prometheus_client.generate_latest()
        return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST)
