"""Merchants' endpoints, for staff: where they are, what they hear, and what was sent there."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from common import problem
from common.auth import Staff
from common.errors import FieldError, Refusal
from common.http import PRINTABLE, Body, Changes, Router, Wire
from common.message import uuid7
from common.openapi import refuses
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query, Request, Response
from pydantic import Field

from notification_service import handlers
from notification_service.api.parts import PartsOf
from notification_service.domain import hosts
from notification_service.domain.deliveries import EndpointStatus
from notification_service.domain.happenings import EVENT_TYPES, EventType
from notification_service.store import endpoints
from notification_service.store.endpoints import EndpointChange, NewEndpoint, Row

router = Router(prefix="/webhooks/endpoints", tags=["webhooks"])

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        pattern=r"^https?://[!-~]+$",
        examples=["https://shop.example.com/pedido"],
    ),
]
Description = Annotated[
    str, Field(max_length=200, pattern=PRINTABLE.replace("+$", "*$"), examples=["ERP"])
]
Types = Annotated[
    tuple[EventType, ...],
    Field(max_length=len(EVENT_TYPES), examples=[["order.confirmed", "order.shipped"]]),
]


class EndpointBody(Body):
    """An endpoint to add; without types it hears everything."""

    url: Url
    description: Description = ""
    types: Types = ()


class EndpointPatch(Changes):
    """What to change; whatever is left out stays as it is."""

    url: Url | None = None
    description: Description | None = None
    types: Types | None = None
    status: Annotated[EndpointStatus | None, Field(examples=["ACTIVE"])] = None


class Endpoint(Wire):
    """Where a merchant's system hears what happens, and whether it works."""

    endpoint_id: UUID
    url: str
    description: str
    types: list[EventType]
    status: EndpointStatus
    disabled_reason: str | None
    """`gone` (it answered 410), `failing` for too long, or `by_hand`."""
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        members = {name: row[name] for name in Endpoint.model_fields}
        return cls.model_validate(members, strict=False)


class EndpointWithSecret(Endpoint):
    """A new endpoint with its secret, which is never shown again."""

    secret: str = Field(repr=False)


class NewSecret(Wire):
    """An endpoint's new secret, which is never shown again; both sign until the old one ends."""

    secret: str = Field(repr=False)
    previous_until: datetime


@router.post("", status_code=HTTPStatus.CREATED, responses=refuses(invalid_state=409))
async def add_webhook_endpoint(
    body: EndpointBody, caller: Staff, request: Request, response: Response, parts: PartsOf
) -> EndpointWithSecret:
    """Add an endpoint; it hears what happens from now on, signed as Standard Webhooks has it."""
    _check(body.url, parts.private_allowed)
    secret, sealed = parts.vault.make()
    types = tuple(dict.fromkeys(body.types))
    new = NewEndpoint(uuid7(), body.url, body.description, types, sealed)
    async with parts.database.transaction() as tx:
        row = await handlers.add_endpoint(tx, new, principal=caller.id)
    response.headers["Location"] = f"{request.url.path}/{new.endpoint_id}"
    shown = Endpoint.of(row).model_dump(by_alias=False)
    return EndpointWithSecret.model_validate({**shown, "secret": secret.get_secret_value()})


@router.get("")
async def list_webhook_endpoints(
    query: Annotated[PageQuery, Query()], _caller: Staff, pages: PagesOf, parts: PartsOf
) -> Page[Endpoint]:
    """List endpoints, newest first."""
    last = pages.begin("endpoints", query)
    after = UUID(last[0]) if last else None
    async with parts.database.transaction() as tx:
        rows = await endpoints.list_endpoints(tx, after=after, limit=query.limit + 1)
    shown, cursor = pages.cut("endpoints", query, rows, lambda row: [str(row["endpoint_id"])])
    return Page(data=[Endpoint.of(row) for row in shown], next_cursor=cursor)


@router.get("/{endpoint_id}")
async def get_webhook_endpoint(endpoint_id: UUID, _caller: Staff, parts: PartsOf) -> Endpoint:
    """Show an endpoint; its secret is not shown."""
    async with parts.database.transaction() as tx:
        row = await endpoints.find_endpoint(tx, endpoint_id)
    return _found(row)


@router.patch("/{endpoint_id}")
async def change_webhook_endpoint(
    endpoint_id: UUID, body: EndpointPatch, caller: Staff, parts: PartsOf
) -> Endpoint:
    """Change an endpoint, or disable it and make it active again."""
    if body.url is not None:
        _check(body.url, parts.private_allowed)
    change = EndpointChange(body.url, body.description, body.types, body.status)
    async with parts.database.transaction() as tx:
        row = await handlers.change_endpoint(tx, endpoint_id, change, principal=caller.id)
    return _found(row)


@router.delete("/{endpoint_id}", status_code=HTTPStatus.NO_CONTENT)
async def remove_webhook_endpoint(endpoint_id: UUID, caller: Staff, parts: PartsOf) -> None:
    """Remove an endpoint with everything that was or is to be sent there."""
    async with parts.database.transaction() as tx:
        if not await handlers.remove_endpoint(tx, endpoint_id, principal=caller.id):
            raise not_found()


@router.post("/{endpoint_id}/rotate-secret")
async def rotate_webhook_secret(endpoint_id: UUID, caller: Staff, parts: PartsOf) -> NewSecret:
    """Replace an endpoint's secret; for a day both sign, so that no message is refused."""
    secret, sealed = parts.vault.make()
    async with parts.database.transaction() as tx:
        until = await handlers.rotate_secret(
            tx, endpoint_id, sealed, overlap=parts.secret_overlap, principal=caller.id
        )
    if until is None:
        raise not_found()
    return NewSecret(secret=secret.get_secret_value(), previous_until=until)


def _found(row: Row | None) -> Endpoint:
    if row is None:
        raise not_found()
    return Endpoint.of(row)


def _check(url: str, private_allowed: bool) -> None:  # noqa: FBT001
    objection = hosts.objection(url, private_allowed=private_allowed)
    if objection is not None:
        raise Refusal(
            "validation_failed",
            problem.MEANINGS["validation_failed"],
            status=422,
            errors=[FieldError("/url", "invalid", objection)],
        )
