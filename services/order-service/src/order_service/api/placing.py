"""POST /orders: the one route that is called as often as everything else together."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from common import auth, idempotency, telemetry
from common.http import StrictRoute
from common.idempotency import IdempotencyKey
from common.message import Cause, uuid7
from common.openapi import refuses
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from order_service.api.bodies import PlaceOrderBody, read_body
from order_service.api.parts import Caller, PartsOf, parts_of
from order_service.api.shapes import Links, OrderAccepted, replay
from order_service.domain import Status
from order_service.intake import Submission
from order_service.store.keys import KeyRow, Slot

PATH = "/orders"
ROUTE = f"POST {PATH}"

_authenticate = auth.caller()


class _Direct(APIRoute):
    """Finds the endpoint's arguments by plain calls: FastAPI's solver takes as long as the rest."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def answer(request: Request) -> Response:
            parts = parts_of(request)
            parts.intake.check()
            principal = await _authenticate(request)
            key = await idempotency.key_of(request)
            body = await read_body(request, PlaceOrderBody)
            return await place_order(body, key, principal, parts)

        return answer


class _DirectRoute(StrictRoute, _Direct):
    """Direct, and as strict as every other route."""


router = APIRouter(tags=["orders"], route_class=_DirectRoute)


@router.post(
    PATH,
    status_code=HTTPStatus.ACCEPTED,
    response_model=OrderAccepted,
    name="place_order",
    responses=refuses(
        unknown_product=422, currency_mismatch=422, too_many_open_orders=429, too_much_held=429
    ),
)
async def place_order(
    body: PlaceOrderBody, key: IdempotencyKey, caller: Caller, parts: PartsOf
) -> Response:
    """Place an order; answers when it is stored, and what becomes of it is at `links.status`."""
    order_id = uuid7()
    accepted = OrderAccepted(
        order_id=order_id,
        status=Status.PENDING,
        message="The order is placed; stock and payment follow.",
        links=Links.of(parts.prefix, order_id),
    )
    row = KeyRow(
        slot=Slot(caller.id, ROUTE, key),
        fingerprint=idempotency.fingerprint(body),
        status=HTTPStatus.ACCEPTED,
        body=accepted.model_dump_json().encode(),
        order_id=order_id,
    )
    command = body.command(order_id=order_id, customer_id=caller.id, cause=_this_request())
    answer = await parts.intake.submit(Submission(command, row))
    return replay(answer, location=f"{parts.prefix}/orders/{answer.order_id}")


class Shortcut:
    """Leads to POST /orders past FastAPI's way to a route, which takes as long as the rest.

    The route stays where it is, too: for the API's document, and for whatever else is asked of its
    path.
    """

    def __init__(self, app: ASGIApp, *, path: str, handlers: Mapping[Any, Any]) -> None:
        """Stand before the application, with its own handlers of what routes raise."""
        self._app = app
        self._path = path
        (self._route,) = (each for each in router.routes if isinstance(each, APIRoute))
        self._handle = self._route.get_route_handler()
        self._place = ExceptionMiddleware(self._answer, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == self._path:
            await self._place(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route
        response = await self._handle(Request(scope, receive))
        await response(scope, receive, send)


def _this_request() -> Cause | None:
    correlation_id = telemetry.correlation_id.get()
    if correlation_id is None:
        return None
    return Cause(None, correlation_id, telemetry.traceparent.get())
