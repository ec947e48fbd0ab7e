"""What no provider should answer: none of it moves our state, and all of it has a class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from devstack.ports import free_port
from payment_service.domain.answers import Answer, Errand, Postponed, Unknown
from payment_service.domain.payment import Kind, Operation
from payment_service.gateway.breaker import Breaker, Threshold
from payment_service.gateway.client import Client
from payment_service.gateway.provider import Provider

PAYMENT = UUID("0198f3a0-0003-7000-8000-000000000003")
REFUND = UUID("0198f3a0-0004-7000-8000-000000000004")

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_FOR = timedelta(seconds=30)

GOOD: dict[str, Any] = {
    "id": "pi_1",
    "status": "requires_capture",
    "amount": 2208,
    "amount_capturable": 2208,
    "amount_received": 0,
    "currency": "gbp",
    "metadata": {"payment_id": str(PAYMENT)},
}
GOOD_REFUND: dict[str, Any] = {
    "id": "re_1",
    "status": "succeeded",
    "amount": 2208,
    "currency": "gbp",
    "metadata": {"refund_id": str(REFUND)},
}


@asynccontextmanager
async def odd_provider(
    respond: Respond,
    *,
    failures: int = 100,
    patience: float = 10.0,
    clock: Callable[[], float] = monotonic,
) -> AsyncIterator[Provider]:
    """Run a server that answers as the test says, and a client of it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    threshold = Threshold(calls=failures, failed=0.5, window=timedelta(minutes=1))
    client = Client(
        url=f"http://127.0.0.1:{port}",
        key="sk_test",
        timeout=timedelta(seconds=patience),
        connections=4,
        breaker=Breaker("odd", threshold, open_for=OPEN_FOR, clock=clock),
    )
    async with client:
        yield Provider(client, clock_skew=timedelta(seconds=5))
    await runner.cleanup()


def errand(kind: Kind = Kind.AUTHORIZE, *, calls: int = 1) -> Errand:
    now = datetime.now(UTC)
    return Errand(
        order_id=uuid4(),
        payment_id=PAYMENT,
        operation=Operation(kind, REFUND if kind is Kind.REFUND else None),
        number=1,
        calls=calls,
        token=uuid4(),
        lease_ends=monotonic() + 60,
        must_look=False,
        amount=2208,
        currency="GBP",
        payment_method="pm_ok",
        intent_id=None if kind is Kind.AUTHORIZE else "pi_1",
        called_from=now,
        called_to=now,
    )


def is_refused(answer: Answer) -> bool:
    return isinstance(answer, Postponed) and answer.reason == "circuit open"


def answering(status: int, body: object = None, **headers: str) -> Respond:
    async def respond(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=named)
        return web.json_response(body, status=status, headers=named)

    return respond


async def answer_to(
    respond: Respond, asked: Errand | None = None, *, patience: float = 10.0
) -> Answer:
    async with odd_provider(respond, patience=patience) as provider:
        return await provider.call(asked or errand())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>hello</html>", "answer is not a JSON object"),
        (b"[]", "answer is not a JSON object"),
        (b"", "answer is not a JSON object"),
        ({"id": "pi_1"}, "unreadable Intent: amount, currency, metadata, status"),
        ({**GOOD, "amount": "2208"}, "unreadable Intent: amount"),
        ({**GOOD, "id": "../../admin"}, "unreadable Intent: id"),
        (b"{" + b" " * 3_000_000 + b"}", "answer too large"),
    ],
    ids=["a page", "a list", "nothing", "no fields", "wrong type", "an id to escape", "too large"],
)
async def test_a_200_that_can_not_be_read_is_unknown(body: object, reason: str) -> None:
    assert await answer_to(answering(200, body)) == Unknown(reason)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 1},
        {"amount_capturable": 1},
        {"currency": "usd"},
        {"metadata": {}},
        {"metadata": {"payment_id": str(uuid4())}},
        {"status": "succeeded", "amount_received": 1},
    ],
    ids=["amount", "amount held", "currency", "no metadata", "another payment", "amount taken"],
)
async def test_an_intent_that_is_not_what_was_asked_for_is_unknown(wrong: dict[str, Any]) -> None:
    assert await answer_to(answering(200, {**GOOD, **wrong})) == Unknown("mismatch", look=True)


async def test_another_intent_than_the_captured_one_is_unknown() -> None:
    other = {**GOOD, "id": "pi_2", "status": "succeeded", "amount_received": 2208}

    assert await answer_to(answering(200, other), errand(Kind.CAPTURE)) == Unknown(
        "mismatch", look=True
    )


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"amount": 1}, Unknown("mismatch", look=True)),
        ({"metadata": {}}, Unknown("mismatch", look=True)),
        ({"status": "pending"}, Unknown("refund is pending", look=True)),
    ],
    ids=["amount", "metadata", "pending"],
)
async def test_a_refund_that_is_not_done_as_asked_is_unknown(
    wrong: dict[str, Any], expected: Answer
) -> None:
    answer = await answer_to(answering(200, {**GOOD_REFUND, **wrong}), errand(Kind.REFUND))

    assert answer == expected


async def test_an_intent_that_is_still_processing_is_unknown() -> None:
    processing = {**GOOD, "status": "processing", "amount_capturable": 0}

    assert await answer_to(answering(200, processing)) == Unknown("intent is processing", look=True)


async def test_a_capture_that_is_accepted_and_not_done_is_looked_up() -> None:
    answer = await answer_to(answering(200, GOOD), errand(Kind.CAPTURE))

    assert answer == Unknown("accepted and not done", look=True)


async def test_a_redirect_is_not_followed() -> None:
    followed: list[str] = []

    async def respond(request: web.Request) -> web.Response:
        followed.append(request.path)
        return web.json_response({}, status=307, headers={"Location": "/elsewhere"})

    assert await answer_to(respond) == Unknown("unexpected status 307")
    assert followed == ["/v1/payment_intents"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999", 3600),
        ("999999999999999999999999", 0),
        ("-1", 0),
        ("1.5", 0),
        ("\u0667", 0),
        ("soon", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 99 Zzz 9999 99:99:99 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 +99999999999999999999", 0),
    ],
)
async def test_a_rate_limit_is_kept_to_the_time_that_it_names(value: str, seconds: int) -> None:
    answer = await answer_to(answering(429, {"error": {}}, Retry_After=value))

    assert answer == Postponed("not now, 429", after=timedelta(seconds=seconds))


@pytest.mark.parametrize("status", [429, 503])
async def test_a_rate_limit_may_end_at_a_date(status: int) -> None:
    then = datetime.now(UTC) + timedelta(seconds=90)

    answer = await answer_to(
        answering(status, {"error": {}}, Retry_After=format_datetime(then, usegmt=True))
    )

    assert isinstance(answer, Postponed | Unknown)
    assert timedelta(seconds=80) < answer.after <= timedelta(seconds=90)


async def test_a_key_that_is_in_use_is_for_later() -> None:
    in_use = {"error": {"type": "idempotency_error", "code": "idempotency_key_in_use"}}

    assert await answer_to(answering(409, in_use)) == Postponed("not now, 409")


@pytest.mark.parametrize("status", [401, 403])
async def test_wrong_credentials_decline_nobody(status: int) -> None:
    assert await answer_to(answering(status, {"error": {}})) == Postponed("credentials refused")


@pytest.mark.parametrize("status", [400, 402, 404, 405, 422])
async def test_a_look_that_is_refused_tells_nothing_of_what_it_looks_for(status: int) -> None:
    refusal = {"error": {"type": "invalid_request_error", "code": "parameter_unknown"}}
    async with odd_provider(answering(status, refusal)) as provider:
        answers = {kind: await provider.look(errand(kind)) for kind in Kind}

    assert set(answers.values()) == {Unknown("parameter_unknown", look=True)}, answers


async def test_a_proxys_error_page_is_tried_again_and_looked_up_at_last() -> None:
    respond = answering(502, b"<html>bad gateway</html>")

    assert await answer_to(respond) == Unknown("server error 502")
    assert await answer_to(respond, errand(calls=3)) == Unknown("server error 502", look=True)


async def test_one_byte_at_a_time_ends_with_the_time_out() -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.1)

    assert await answer_to(respond, patience=0.5) == Unknown("TimeoutError")


async def test_a_connection_that_is_reset_in_the_middle_is_unknown() -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"id"')
        assert request.transport is not None
        request.transport.abort()
        return response

    assert isinstance(await answer_to(respond), Unknown)


async def test_nobody_at_the_address_means_that_nothing_was_done() -> None:
    threshold = Threshold(calls=5, failed=0.5, window=timedelta(minutes=1))
    client = Client(
        url=f"http://127.0.0.1:{free_port()}",
        key="sk_test",
        timeout=timedelta(seconds=1),
        connections=1,
        breaker=Breaker("nobody", threshold, open_for=timedelta(seconds=1)),
    )
    async with client:
        answer = await Provider(client, clock_skew=timedelta(0)).call(errand())

    assert answer == Postponed("ClientConnectorError", called=False)


async def test_a_failing_provider_is_left_alone_and_then_probed_by_one_call() -> None:
    calls: list[int] = []
    status, now = 500, 1000.0

    async def respond(_: web.Request) -> web.Response:
        calls.append(status)
        await asyncio.sleep(0.05)
        return web.json_response(GOOD, status=status)

    async with odd_provider(respond, failures=3, clock=lambda: now) as provider:
        for _ in range(3):
            await provider.call(errand())
        assert is_refused(await provider.call(errand()))
        assert len(calls) == 3

        status, now = 200, now + OPEN_FOR.total_seconds()
        answers = await asyncio.gather(*(provider.call(errand()) for _ in range(4)))

    assert calls == [500, 500, 500, 200]
    assert sum(map(is_refused, answers)) == 3


@pytest.mark.parametrize(
    "respond",
    [
        answering(402, {"error": {"type": "card_error", "code": "card_declined"}}),
        answering(400, {"error": {"type": "invalid_request_error"}}),
        answering(409, {"error": {}}),
        answering(429, {"error": {}}),
        answering(500, {"error": {}}, Idempotent_Replayed="true"),
    ],
    ids=["declined", "bad request", "in use", "rate limited", "replayed failure"],
)
async def test_answers_that_show_a_working_provider_never_open_the_breaker(
    respond: Respond,
) -> None:
    async with odd_provider(respond, failures=1) as provider:
        for _ in range(3):
            answer = await provider.call(errand())
            assert not is_refused(answer)


async def test_each_call_carries_our_secret_and_its_own_key() -> None:
    seen: dict[str, str] = {}

    async def respond(request: web.Request) -> web.Response:
        seen.update({name.lower(): value for name, value in request.headers.items()})
        seen.update({name: str(value) for name, value in (await request.post()).items()})
        return web.json_response(GOOD)

    await answer_to(respond, replace(errand(), payment_method="pm_a&amount=1 +%"))

    assert seen["authorization"] == "Bearer sk_test"
    assert seen["accept-encoding"] == "identity"
    assert seen["idempotency-key"] == f"{PAYMENT}:authorize:1"
    assert (seen["payment_method"], seen["amount"]) == ("pm_a&amount=1 +%", "2208")
    assert seen["metadata[payment_id]"] == str(PAYMENT)
