"""The gateway's HTTP interface: who may call, which route does what, what an answer looks like."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from devstack.simulator import chances, keys, refusals
from devstack.simulator.chances import Chances, Mishap
from devstack.simulator.delivery import Delivery
from devstack.simulator.gateway import Gateway, Operation
from devstack.simulator.keys import Keys
from devstack.simulator.ledger import Ledger
from devstack.simulator.moods import Mood, Moods, distorted, refusal_of
from devstack.simulator.refusals import Body, Refusal
from devstack.simulator.webhooks import Postman

Change: TypeAlias = Callable[[Request, str], Operation]
"""Understands a request by itself and its body."""
Look: TypeAlias = Callable[[Request], Body]


def create_app(ledger: Ledger, api_key: str) -> Starlette:
    """Build the application around a ledger; callers show that key."""
    gateway = Gateway(ledger)
    http = _Http(ledger, gateway, api_key)
    intents, refunds = "/v1/payment_intents", "/v1/refunds"
    return Starlette(
        routes=[
            http.post(intents, lambda _, body: gateway.create(body)),
            http.post(f"{intents}/{{id}}/capture", lambda r, body: gateway.capture(body, _id(r))),
            http.post(f"{intents}/{{id}}/cancel", lambda r, body: gateway.cancel(body, _id(r))),
            http.post(refunds, lambda _, body: gateway.refund(body)),
            http.get(intents, lambda r: gateway.list_intents(r.url.query)),
            http.get(f"{intents}/{{id}}", lambda r: gateway.show_intent(_id(r))),
            http.get(refunds, lambda r: gateway.list_refunds(r.url.query)),
            http.get(f"{refunds}/{{id}}", lambda r: gateway.show_refund(_id(r))),
            Route("/mood", http.feel, methods=["PUT"]),
            Route("/chances", http.take_chances, methods=["PUT"]),
            Route("/webhooks", http.send_webhooks, methods=["PUT"]),
            Route("/health", _health),
        ],
        exception_handlers={Refusal: _refused, HTTPException: _unknown_route},
    )


class _Http:
    """What every route has in common."""

    def __init__(self, ledger: Ledger, gateway: Gateway, api_key: str) -> None:
        self._ledger = ledger
        self._keys = Keys(ledger)
        self._gateway = gateway
        self._postman = Postman(ledger)
        self._moods = Moods()
        self._chances = Chances()
        self._authorization = f"Bearer {api_key}".encode()

    async def feel(self, request: Request) -> Response:
        """Misbehave from now on as told: `{"mood": "busy", "path": "/v1/*/capture"}`.

        `"looks": true` lets reading be met with it, too.
        """
        self._check_caller(request)
        self._moods.become(await request.json())
        moods = self._moods
        return _json({"mood": moods.mood, "path": moods.path, "looks": moods.looks})

    async def take_chances(self, request: Request) -> Response:
        """Let some calls go wrong from now on; see Chances.become."""
        self._check_caller(request)
        self._chances.become(await request.json())
        return _json({})

    async def send_webhooks(self, request: Request) -> Response:
        """Send events from now on; see Postman.register."""
        self._check_caller(request)
        self._postman.register(await request.json())
        return _json({"url": self._postman.url, "manner": self._postman.manner})

    def post(self, path: str, change: Change) -> Route:
        async def answer(request: Request) -> Delivery:
            return await self._change(request, change)

        return Route(path, answer, methods=["POST"])

    def get(self, path: str, look: Look) -> Route:
        async def answer(request: Request) -> Delivery:
            self._check_caller(request)
            mood = self._moods.of(request.url.path, look=True)
            if refusal := refusal_of(mood):
                raise refusal
            if self._chances.roll() is Mishap.PROXY:
                raise refusals.broken()
            response = _spoiled(mood, json.dumps(look(request)), HTTPStatus.OK)
            return Delivery(response, mood, 0.0, ExitStack())

        return Route(path, answer, methods=["GET"])

    async def _change(self, request: Request, change: Change) -> Delivery:
        self._check_caller(request)
        reigning = self._moods.of(request.url.path)
        if refusal := refusal_of(reigning):
            raise refusal
        mishap = self._chances.roll()
        if mishap is Mishap.PROXY:
            raise refusals.broken()
        body = (await request.body()).decode()
        operation = chances.hampered(change(request, body), mishap)
        key = request.headers.get("idempotency-key")
        with ExitStack() as held:
            held.enter_context(self._keys.taking(key))
            fingerprint = keys.fingerprint_of(request.url.path, body)
            outcome = self._keys.carry_out(operation, key, fingerprint)
            news = self._gateway.news()
            await self._ledger.written()
            for told, manner in news:
                await self._postman.tell(told, manner)
            outcome = chances.on_its_way(outcome, mishap, self._chances.latency())
            mood = outcome.mood if reigning is Mood.FINE else reigning
            response = _spoiled(mood, outcome.body, outcome.status)
            if outcome.replayed:
                response.headers["idempotent-replayed"] = "true"
            return Delivery(response, mood, outcome.delay, held.pop_all())

    def _check_caller(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not secrets.compare_digest(given, self._authorization):
            raise refusals.wrong_key()


def _id(request: Request) -> str:
    identity: str = request.path_params["id"]
    return identity


def _json(body: Body, status: int = 200) -> Response:
    return _response(json.dumps(body), status)


def _spoiled(mood: Mood, body: str, status: int) -> Response:
    response = _response(distorted(mood, body), status)
    if mood is Mood.WRONG_TYPE:
        response.headers["content-type"] = "text/html; charset=utf-8"
    return response


def _response(body: str, status: int) -> Response:
    headers = {"request-id": f"req_{secrets.token_hex(7)}"}
    return Response(body, status, headers, media_type="application/json")


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _refused(_: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, Refusal):  # the registration promises it, its type doesn't
        raise refusal
    answer = _json(refusal.body, refusal.status)
    if refusal.retry_after is not None:
        answer.headers["retry-after"] = str(refusal.retry_after)
    return answer


async def _unknown_route(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = f"Unrecognized request URL ({request.method}: {request.url.path})."
    return _json(refusals.invalid(message).body, error.status_code)
