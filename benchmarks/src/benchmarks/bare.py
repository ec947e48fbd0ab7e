"""A server with nothing around the intake: `python -m benchmarks.bare`, for P1 to compare with.

The same uvicorn settings and the same batch insert as order-service, behind a plain Starlette
route: no authentication, no validation, no limits. `/empty` is a bare ASGI answer.
"""

import asyncio
import itertools
import json
from http import HTTPStatus
from uuid import UUID

import uvicorn
import uvloop
from common.database import Database
from common.head import BoundedHead
from common.message import uuid7
from order_service import app
from order_service.domain import Caps, PlaceOrder, WantedLine
from order_service.intake import Intake, Submission
from order_service.settings import Settings
from order_service.store.keys import KeyRow, Slot
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks import rig

CUSTOMERS = tuple(UUID(int=number) for number in range(1, 1 + rig.CUSTOMERS))
"""As many as the driver plays: what one of them holds is looked up for each order."""


async def _empty(send: Send) -> None:
    await send({"type": "http.response.start", "status": HTTPStatus.ACCEPTED, "headers": []})
    await send({"type": "http.response.body", "body": b'{"orderId":"0"}'})


def _application(intake: Intake) -> ASGIApp:
    customers = itertools.cycle(CUSTOMERS)

    async def place(request: Request) -> Response:
        wanted = json.loads(await request.body())
        order_id = uuid7()
        lines = tuple(WantedLine(item["sku"], item["quantity"]) for item in wanted["items"])
        answer = json.dumps({"orderId": str(order_id)}).encode()
        customer = next(customers)
        slot = Slot(customer, "POST /orders", request.headers["Idempotency-Key"])
        row = KeyRow(slot, b"", HTTPStatus.ACCEPTED, answer, order_id)
        command = PlaceOrder(order_id, customer, lines, wanted["paymentMethod"])
        await intake.submit(Submission(command, row))
        return Response(answer, HTTPStatus.ACCEPTED, media_type="application/json")

    framed = Starlette(routes=[Route("/api/v1/orders", place, methods=["POST"])])

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/empty":
            await _empty(send)
        else:
            await framed(scope, receive, send)

    return answer


async def _serve() -> None:
    settings = Settings()
    database = Database(settings, name="bare")
    caps = Caps(orders=settings.open_orders_max, pieces=settings.open_pieces_max)
    intake = Intake(database, patience=app.patience_of(settings), caps=caps)
    config = uvicorn.Config(
        _application(intake),
        host=settings.host,
        port=settings.port,
        loop="none",
        http=BoundedHead,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )
    await uvicorn.Server(config).serve()
    await database.close()


def main() -> None:
    """Serve until told to stop, where the environment says."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
