"""The provider's webhooks: an effect at most once, and none at all for whoever can't sign."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID, uuid5

import pytest
import pytest_asyncio
from common.message import uuid7
from common.settings import Rate
from payment_service.messages import OrderCancelRequested, PaymentVoided
from pydantic import SecretStr

from tests.support import webhooks
from tests.support.cashier import Cashier, open_cashier
from tests.support.gateway import RunningGateway
from tests.support.payment_desk import PaymentDesk, open_payment_desk, problem, shown
from tests.support.postgres import Databases
from tests.support.waiting import eventually
from tests.support.webhooks import OLD_SECRET, PATH, SECRET, event, headers, intent_event

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def cashier(databases: Databases, gateway: RunningGateway) -> AsyncIterator[Cashier]:
    secrets = {
        "payment_webhook_secret": SecretStr(SECRET),
        "payment_webhook_secret_previous": SecretStr(OLD_SECRET),
    }
    async with open_cashier(databases.app_dsn("payments"), gateway, **secrets) as cashier:
        yield cashier


@pytest_asyncio.fixture
async def desk(cashier: Cashier) -> AsyncIterator[PaymentDesk]:
    async with open_payment_desk(cashier.settings) as desk:
        yield desk


async def take(desk: PaymentDesk, body: bytes, **given: Any) -> None:
    answer = await desk.http.post(PATH, content=body, headers=headers(body, **given))
    assert shown(answer) == {"received": True}


async def verdicts(cashier: Cashier) -> list[str]:
    rows = await cashier.rows("SELECT verdict FROM webhook_events ORDER BY received_at")
    return [row["verdict"] for row in rows]


async def everything(cashier: Cashier) -> Any:
    """See all that a webhook may change."""
    tables = ("payments", "refunds", "outbox", "webhook_events")
    return [
        [tuple(row) for row in await cashier.rows(f"SELECT * FROM {table} ORDER BY 1")]  # noqa: S608
        for table in tables
    ]


async def in_doubt(cashier: Cashier, order_id: UUID) -> None:
    """Let a call have no answer, and the next one be hours away."""
    await cashier.rows(
        "UPDATE payments SET calls = 1, called_at = now(), last_call_at = now(), "
        "next_at = now() + interval '5 hours' WHERE order_id = $1",
        order_id,
    )


async def test_a_webhook_brings_the_next_call_forward(cashier: Cashier, desk: PaymentDesk) -> None:
    order_id = await cashier.due()
    await in_doubt(cashier, order_id)

    await take(desk, intent_event(order_id))
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    assert await verdicts(cashier) == ["LOOKING"]
    assert cashier.effects(order_id) == [("authorize", 2208)]


async def test_what_a_webhook_claims_is_not_believed_but_looked_up(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
    intent_id = (await cashier.payment(order_id))["intent_id"]
    before = await cashier.payment(order_id)

    for status in ("succeeded", "canceled", "requires_payment_method"):
        await take(desk, intent_event(order_id, status=status, id=intent_id))

    assert await cashier.payment(order_id) == before
    assert await cashier.words(order_id) == ["PaymentAuthorized"]


async def test_an_event_that_comes_again_is_answered_alike_and_does_nothing(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = await cashier.due()
    await in_doubt(cashier, order_id)
    body = intent_event(order_id, event_id="evt_twice")
    await take(desk, body)
    await in_doubt(cashier, order_id)
    before = await everything(cashier)

    await take(desk, body)
    await take(desk, intent_event(order_id, event_id="evt_twice", amount=1))

    assert await everything(cashier) == before


async def test_twenty_deliveries_of_one_event_at_once_count_once(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = await cashier.due()
    await in_doubt(cashier, order_id)
    body = intent_event(order_id)

    await asyncio.gather(*(take(desk, body) for _ in range(20)))

    assert await verdicts(cashier) == ["LOOKING"]


async def test_money_that_turns_up_after_the_closing_is_found_and_given_back(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = uuid7()
    await cashier.hear(OrderCancelRequested(order_id=order_id))
    await cashier.rows(
        "UPDATE payments SET amount = 2208, currency = 'GBP', payment_method = 'pm_ok' "
        "WHERE order_id = $1",
        order_id,
    )
    payment_id = uuid5(order_id, "payment")
    held = await hold_money(cashier, order_id, payment_id)

    await take(desk, intent_event(order_id, id=held))
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "VOIDED"))

    assert cashier.effects(order_id) == [("authorize", 2208), ("cancel", 2208)]
    assert await cashier.words(order_id) == ["PaymentVoided", "LatePaymentReversed"]


async def hold_money(cashier: Cashier, order_id: UUID, payment_id: UUID) -> str:
    """Let the provider hold money that we know nothing of."""
    async with cashier.charger().provider.client as client:
        form = {
            "amount": "2208",
            "currency": "gbp",
            "payment_method": "pm_ok",
            "confirm": "true",
            "capture_method": "manual",
            "metadata[order_id]": str(order_id),
            "metadata[payment_id]": str(payment_id),
        }
        reply = await client.post("/v1/payment_intents", form, f"late-{order_id}")
    return str(reply.body["id"])


async def test_a_late_event_of_a_closed_payment_changes_nothing(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.hear(OrderCancelRequested(order_id=order_id))
        await eventually(partial(cashier.has, order_id, "VOIDED"))
    row = await cashier.payment(order_id)

    await take(desk, intent_event(order_id, id=row["intent_id"]))

    assert await cashier.payment(order_id) == row
    assert await verdicts(cashier) == ["NOTED"]
    assert isinstance((await cashier.said(order_id))[-1], PaymentVoided)


async def test_a_payment_that_is_not_ours_is_noted_and_makes_none(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    await take(desk, intent_event(uuid7()))
    await take(desk, intent_event(uuid7(), metadata={}))
    await take(desk, intent_event(uuid7(), metadata={"payment_id": "1; DROP TABLE payments"}))
    await take(desk, event("customer.created", {"object": "customer", "email": "x@example.com"}))

    assert await verdicts(cashier) == ["UNKNOWN_PAYMENT"] * 3 + ["IGNORED"]
    assert await cashier.rows("SELECT * FROM payments") == []


@pytest.mark.parametrize(
    "told",
    [{"amount": 2209}, {"currency": "eur"}, {"id": "pi_another"}, {"metadata": None}],
    ids=["amount", "currency", "intent", "order"],
)
async def test_a_mismatch_is_alarmed_and_changes_no_state(
    cashier: Cashier, desk: PaymentDesk, told: dict[str, Any]
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
    row = await cashier.payment(order_id)
    if "metadata" in told:
        told = {"metadata": {"order_id": str(uuid7()), "payment_id": str(row["payment_id"])}}

    await take(desk, intent_event(order_id, **{"id": row["intent_id"], **told}))

    assert await cashier.payment(order_id) == row
    assert await verdicts(cashier) == ["MISMATCH"]


async def test_no_forgery_is_believed(cashier: Cashier, desk: PaymentDesk) -> None:
    order_id = await cashier.due()
    await in_doubt(cashier, order_id)
    body = intent_event(order_id)
    good = webhooks.signature(body)
    moment, _, mac = good.removeprefix("t=").partition(",v1=")
    later, other = str(int(moment) + 1), "0" * 64
    before = await everything(cashier)
    forgeries = {
        "no signature": ({}, body),
        "an empty one": ({"Stripe-Signature": ""}, body),
        "another body": ({"Stripe-Signature": good}, body.replace(b"2208", b"2209")),
        "the body written anew": ({"Stripe-Signature": good}, body.replace(b": ", b":")),
        "another time": ({"Stripe-Signature": f"t={later},v1={mac}"}, body),
        "another signature": ({"Stripe-Signature": f"t={moment},v1={other}"}, body),
        "half a signature": ({"Stripe-Signature": f"t={moment},v1={mac[:32]}"}, body),
        "another scheme": ({"Stripe-Signature": f"t={moment},v0={mac}"}, body),
        "no time": ({"Stripe-Signature": f"v1={mac}"}, body),
        "two times": ({"Stripe-Signature": f"t={moment},{good}"}, body),
        "a huge time": ({"Stripe-Signature": f"t={'9' * 400},v1={mac}"}, body),
        "not ASCII": ({"Stripe-Signature": "t=1,v1=é".encode()}, body),
        "a strange secret": (headers(body, "whsec_somebody_elses"), body),
        "an empty secret": (headers(body, ""), body),
        "six minutes old": (headers(body, moment=time.time() - 360), body),
        "six minutes ahead": (headers(body, moment=time.time() + 360), body),
    }

    for name, (given, content) in forgeries.items():
        answer = await desk.http.post(PATH, content=content, headers=given)
        assert problem(answer) == (401, "invalid_signature"), name
        told = answer.json() | {"traceId": "", "instance": ""}  # any four digits may be in these
        assert "2208" not in str(told)
    twice = [("Stripe-Signature", good), ("Stripe-Signature", good)]
    assert (await desk.http.post(PATH, content=body, headers=twice)).status_code == 401

    assert await everything(cashier) == before


async def test_the_old_secret_is_believed_until_it_is_taken_away(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    body = intent_event(uuid7())
    await take(desk, body, secret=OLD_SECRET)
    await take(desk, body, secret=SECRET)

    rotated = cashier.settings.model_copy(update={"payment_webhook_secret_previous": None})
    async with open_payment_desk(rotated) as after:
        old = await after.http.post(PATH, content=body, headers=headers(body, OLD_SECRET))
        assert problem(old) == (401, "invalid_signature")
        await take(after, body, secret=SECRET)


async def test_without_a_secret_nobody_is_believed(cashier: Cashier) -> None:
    none = {"payment_webhook_secret": None, "payment_webhook_secret_previous": None}
    body = intent_event(uuid7())
    async with open_payment_desk(cashier.settings.model_copy(update=none)) as closed:
        for secret in (SECRET, "", "None"):
            answer = await closed.http.post(PATH, content=body, headers=headers(body, secret))
            assert problem(answer) == (401, "invalid_signature")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", (400, "malformed_json")),
        (b"{", (400, "malformed_json")),
        (b"\xff\xfe", (400, "malformed_json")),
        (b'{"id": NaN}', (400, "malformed_json")),
        (b'{"id": "a", "id": "b"}', (400, "malformed_json")),
        (b'{"id": "\\u0000"}', (400, "malformed_json")),
        (b"[" * 50_000, (400, "malformed_json")),
        (b"1" * 10_000, (400, "malformed_json")),
        (b"[]", (422, "validation_failed")),
        (b'{"id": 1, "type": "x", "data": {"object": {}}}', (422, "validation_failed")),
        (b'{"id": "", "type": "x", "data": {"object": {}}}', (422, "validation_failed")),
        (b'{"id": "e", "type": "x", "data": []}', (422, "validation_failed")),
        (event("x", {"object": "payment_intent"}), (422, "validation_failed")),
        (event("x", {"object": "refund", "id": 3}), (422, "validation_failed")),
        (intent_event(uuid7(), amount=-1), (422, "validation_failed")),
        (intent_event(uuid7(), amount=2**63), (422, "validation_failed")),
        (intent_event(uuid7(), amount="2208"), (422, "validation_failed")),
        (intent_event(uuid7(), created=2**62), (422, "validation_failed")),
        (intent_event(uuid7(), id="x" * 256), (422, "validation_failed")),
    ],
    ids=range(19),
)
async def test_garbage_under_a_right_signature_is_refused_and_may_come_again(
    cashier: Cashier, desk: PaymentDesk, body: bytes, refusal: tuple[int, str]
) -> None:
    answer = await desk.http.post(PATH, content=body, headers=headers(body))

    assert problem(answer) == refusal
    assert await verdicts(cashier) == []


async def test_a_body_over_the_limit_and_a_strange_provider_are_refused(desk: PaymentDesk) -> None:
    large = b" " * (256 * 1024 + 1)
    answer = await desk.http.post(PATH, content=large, headers=headers(large))
    assert problem(answer) == (413, "body_too_large")

    body = intent_event(uuid7())
    answer = await desk.http.post("/payments/webhooks/acme", content=body, headers=headers(body))
    assert problem(answer) == (422, "validation_failed")


async def test_the_provider_is_not_throttled_as_a_stranger_is(cashier: Cashier) -> None:
    strict = cashier.settings.model_copy(update={"rate_limit_address": Rate(1, 60)})
    body = intent_event(uuid7())
    async with open_payment_desk(strict) as desk:
        for _ in range(3):
            await take(desk, body)

        strangers = [(await desk.get("/payments", None)).status_code for _ in range(2)]

    assert strangers == [401, 429]


async def test_old_events_are_forgotten_unless_they_alarmed(cashier: Cashier) -> None:
    verdicts_kept = ("MISMATCH", "UNEXPLAINED")
    for verdict in ("NOTED", "IGNORED", *verdicts_kept):
        for days in (29, 31):
            await cashier.rows(
                "INSERT INTO webhook_events (provider, event_id, type, verdict, received_at) "
                "VALUES ('stripe', $1, 'x', $2, now() - make_interval(days => $3))",
                f"evt_{verdict}_{days}",
                verdict,
                days,
            )

    gone = await cashier.watch_books()

    left = {row["event_id"] for row in await cashier.rows("SELECT event_id FROM webhook_events")}
    assert gone == 2
    assert left == {
        "evt_NOTED_29",
        "evt_IGNORED_29",
        *(f"evt_{verdict}_{days}" for verdict in verdicts_kept for days in (29, 31)),
    }
