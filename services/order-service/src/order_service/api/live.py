"""Where an order is, live: asked, waited for, or streamed."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from common.http import Params, Router
from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from order_service.api.conditional import CONDITIONAL, etag_of, is_known, unchanged
from order_service.api.parts import Caller, PartsOf, find_order
from order_service.api.shapes import OrderEvent, OrderStatus
from order_service.stream import Feed, Limits, Moment, Watched

router = Router(tags=["orders"])

_RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a browser comes back: also the first byte, so that it knows it is in."""

_HEARTBEAT = b":\n\n"

_A_LOOK_AT_THE_LINE = 1.0
"""Seconds after which a long poll notices that its client has left."""


_LAST_VERSION = 2**31 - 1
"""What a version's column holds."""

_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Each `data` is JSON: an entry of the timeline with `orderId` and `version`,"
        " and `status`, `saga` and `terminal` just after it. A comment is a heartbeat.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "required": ["id", "data"],
                    "properties": {"id": {"type": "string"}, "data": {"type": "string"}},
                },
                "example": 'id: 3\ndata: {"version":3,"type":"OrderConfirmed"}\n\n',
            }
        },
    },
    204: {"description": "The order is settled, and `Last-Event-ID` names its last event."},
}


class WaitQuery(Params):
    """How long the answer may wait for a change."""

    wait: Annotated[int, Field(ge=0, le=30, description="seconds to wait for a change")] = 0


@router.get("/orders/{order_id}/status", response_model=OrderStatus, responses=CONDITIONAL)
async def get_order_status(
    order_id: UUID,
    query: Annotated[WaitQuery, Query()],
    caller: Caller,
    parts: PartsOf,
    request: Request,
) -> Response:
    """Tell where an order is; with `wait`, only when that changes or the time is up.

    A change is one since this request came; or, with `If-None-Match`, since the version that the
    client knows. An order that is settled is answered at once.
    """
    async with parts.database.transaction() as tx:
        row = await find_order(tx, order_id, caller)
    status, version = OrderStatus.of(row), row["version"]
    outdated = "if-none-match" in request.headers and not is_known(request, etag_of(version))
    if query.wait and not status.terminal and not outdated:
        with parts.feed.listen(order_id, caller.id) as watched:
            status, version = await _changed(watched, request, status, version, query.wait)
    etag = etag_of(version)
    if is_known(request, etag):
        return unchanged(etag)
    return Response(status.model_dump_json(), headers={"ETag": etag}, media_type="application/json")


async def _changed(
    watched: Watched, request: Request, status: OrderStatus, version: int, seconds: int
) -> tuple[OrderStatus, int]:
    """Wait until the order is elsewhere than it was, and tell where it is in the end."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    before = status
    while True:
        if moments := watched.since(version):
            status, version = OrderStatus.at(moments[-1]), moments[-1].version
        left = until - clock()
        if left <= 0 or watched.over or status.differs(before) or await request.is_disconnected():
            return status, version
        await watched.wait(min(left, _A_LOOK_AT_THE_LINE))


class Stream(StreamingResponse):
    """Server-sent events, for as long as the place among the listeners is held."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, order_id: UUID, caller: UUID, after: int) -> None:
        """Tell this caller what comes after that version; the place is taken when it is sent."""
        self._feed = feed
        self._place = (order_id, caller)
        self._after = after
        super().__init__(())

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._feed.limits
        with self._feed.listen(*self._place) as watched:
            self.body_iterator = _frames(watched, self._after, limits)
            try:
                async with asyncio.timeout((limits.life + limits.grace).total_seconds()):
                    await super().__call__(scope, receive, send)
            except TimeoutError:
                return  # a reader who does not read: the server cuts the connection


@router.get(
    "/orders/{order_id}/events",
    status_code=HTTPStatus.OK,  # else FastAPI looks for it among the class's own arguments
    response_class=Stream,
    responses=_STREAMED,
)
async def stream_order(
    order_id: UUID,
    caller: Caller,
    parts: PartsOf,
    last_event_id: Annotated[
        int, Header(ge=0, le=_LAST_VERSION, description="the id of the last event that came")
    ] = 0,
) -> Response:
    """Stream every event of an order, those so far first; ends when the order is settled.

    An event's id is the order's version: a client that comes back with `Last-Event-ID` misses
    none and gets none twice. One that has heard all of a settled order is answered 204.
    """
    async with parts.database.transaction() as tx:
        row = await find_order(tx, order_id, caller)
    if row["settled_at"] is not None and row["version"] <= last_event_id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return Stream(parts.feed, order_id, caller.id, last_event_id)


async def _frames(watched: Watched, after: int, limits: Limits) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    until = clock() + limits.life.total_seconds()
    yield _RETRY
    while True:
        for moment in watched.since(after):
            yield _frame(moment)
            after = moment.version
        left = until - clock()
        if left <= 0 or watched.is_told(after):
            return
        if not await watched.wait(min(left, limits.heartbeat.total_seconds())):
            yield _HEARTBEAT


def _frame(moment: Moment) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (
        moment.version,
        OrderEvent.of(moment).model_dump_json().encode(),
    )
