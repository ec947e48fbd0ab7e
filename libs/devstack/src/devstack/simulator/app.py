"""The gateway's HTTP interface: who may call, which route does what, what an answer looks like."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import TypeAlias

from devstack.simulator import chances, keys, refusals
from devstack.simulator.chances import Chances, Mishap
from devstack.simulator.delivery import Delivery
from devstack.simulator.gateway import Gateway, Operation
from devstack.simulator.keys import Keys
from devstack.simulator.ledger import Ledger
from devstack.simulator.moods import Mood, Moods, distorted, refusal_of
from devstack.simulator.refusals import Body, Refusal
from devstack.simulator.server import Connection, Request, Response
from devstack.simulator.webhooks import Postman

Change: TypeAlias = Callable[[], Operation]
"""Understands a request."""
Look: TypeAlias = Callable[[], Body]


class Front:
    """What every route has in common."""

    def __init__(self, ledger: Ledger, api_key: str) -> None:
        """Serve that ledger; callers show that key."""
        self._ledger = ledger
        self._keys = Keys(ledger)
        self._gateway = Gateway(ledger)
        self._postman = Postman(ledger)
        self._moods = Moods()
        self._chances = Chances()
        self._authorization = f"Bearer {api_key}".encode()

    async def handle(self, request: Request, connection: Connection) -> None:
        """Answer one request."""
        try:
            delivery = await self._route(request)
        except Refusal as refusal:
            delivery = Delivery(_refused(refusal))
        await delivery.send(connection)

    async def _route(self, request: Request) -> Delivery:
        match request.method:
            case "POST":
                return await self._change(request, self._change_of(request))
            case "PUT":
                return Delivery(_response(json.dumps(self._become(request)), HTTPStatus.OK))
            case "GET" if request.path == "/health":
                return Delivery(Response(HTTPStatus.OK, b"ok", {"content-type": "text/plain"}))
            case "GET":
                return await self._look(request, self._look_of(request))
            case _:
                raise _unknown_route(request)

    def _change_of(self, request: Request) -> Change:
        match request.path.split("/"):
            case ["", "v1", "payment_intents"]:
                return partial(self._gateway.create, request.body)
            case ["", "v1", "payment_intents", identity, "capture"]:
                return partial(self._gateway.capture, request.body, identity)
            case ["", "v1", "payment_intents", identity, "cancel"]:
                return partial(self._gateway.cancel, request.body, identity)
            case ["", "v1", "refunds"]:
                return partial(self._gateway.refund, request.body)
            case _:
                raise _unknown_route(request)

    def _look_of(self, request: Request) -> Look:
        match request.path.split("/"):
            case ["", "v1", "payment_intents"]:
                return partial(self._gateway.list_intents, request.query)
            case ["", "v1", "payment_intents", identity]:
                return partial(self._gateway.show_intent, identity)
            case ["", "v1", "refunds"]:
                return partial(self._gateway.list_refunds, request.query)
            case ["", "v1", "refunds", identity]:
                return partial(self._gateway.show_refund, identity)
            case _:
                raise _unknown_route(request)

    def _become(self, request: Request) -> Body:
        """Behave otherwise from now on.

        `/mood` as `{"mood": "busy", "path": "/v1/*/capture"}`, where `"looks": true` has reading
        met with it, too; `/chances` as Chances.become and `/webhooks` as Postman.register tell.
        """
        self._check_caller(request)
        wanted = json.loads(request.body)
        match request.path:
            case "/mood":
                self._moods.become(wanted)
                moods = self._moods
                return {"mood": moods.mood, "path": moods.path, "looks": moods.looks}
            case "/chances":
                self._chances.become(wanted)
                return {}
            case "/webhooks":
                self._postman.register(wanted)
                return {"url": self._postman.url, "manner": self._postman.manner}
            case _:
                raise _unknown_route(request)

    async def _look(self, request: Request, look: Look) -> Delivery:
        self._check_caller(request)
        mood = self._moods.of(request.path, look=True)
        if refusal := refusal_of(mood):
            raise refusal
        if self._chances.roll() is Mishap.PROXY:
            raise refusals.broken()
        seen = look()
        await self._ledger.written()  # it may have seen what is not committed yet
        return Delivery(_spoiled(mood, json.dumps(seen), HTTPStatus.OK), mood)

    async def _change(self, request: Request, change: Change) -> Delivery:
        self._check_caller(request)
        reigning = self._moods.of(request.path)
        if refusal := refusal_of(reigning):
            raise refusal
        mishap = self._chances.roll()
        if mishap is Mishap.PROXY:
            raise refusals.broken()
        operation = chances.hampered(change(), mishap)
        key = request.headers.get("idempotency-key")
        with ExitStack() as held:
            held.enter_context(self._keys.taking(key))
            fingerprint = keys.fingerprint_of(request.path, request.body)
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


def _unknown_route(request: Request) -> Refusal:
    message = f"Unrecognized request URL ({request.method}: {request.path})."
    return refusals.invalid(message, status=HTTPStatus.NOT_FOUND)


def _spoiled(mood: Mood, body: str, status: int) -> Response:
    response = _response(distorted(mood, body), status)
    if mood is Mood.WRONG_TYPE:
        response.headers["content-type"] = "text/html; charset=utf-8"
    return response


def _response(body: str, status: int) -> Response:
    headers = {
        "request-id": f"req_{secrets.token_hex(7)}",
        "content-type": "application/json",
    }
    return Response(status, body.encode(), headers)


def _refused(refusal: Refusal) -> Response:
    answer = _response(json.dumps(refusal.body), refusal.status)
    if refusal.retry_after is not None:
        answer.headers["retry-after"] = str(refusal.retry_after)
    return answer
