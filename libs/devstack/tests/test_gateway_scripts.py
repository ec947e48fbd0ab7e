"""Each payment-method token misbehaves as it says."""

import time

import httpx2
import pytest

from tests.support.gateway import Client, RunningGateway, order_form
from tests.support.waiting import eventually


@pytest.mark.parametrize(
    ("token", "decline_code"),
    [
        ("pm_declined", "generic_decline"),
        ("pm_declined_insufficient_funds", "insufficient_funds"),
        ("pm_declined_expired_card", "expired_card"),
    ],
)
async def test_a_declined_card_names_its_reason_and_holds_nothing(
    client: Client, gateway: RunningGateway, token: str, decline_code: str
) -> None:
    answer = await client.authorise(token)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (
        402,
        "card_error",
        "card_declined",
    )
    assert error["decline_code"] == decline_code
    intent = await client.get(f"/v1/payment_intents/{error['payment_intent']['id']}")
    assert (intent["status"], intent["amount_capturable"]) == ("requires_payment_method", 0)
    assert intent["last_payment_error"]["decline_code"] == decline_code
    assert _effects(gateway, intent["id"]) == []


async def test_a_first_refund_is_refused_and_the_next_one_made(
    client: Client, gateway: RunningGateway
) -> None:
    intent = await client.captured("pm_refund_fails")

    first, second = [
        await client.post("/v1/refunds", {"payment_intent": intent, "amount": "10"})
        for _ in range(2)
    ]

    assert (first.status_code, first.json()["error"]["code"]) == (400, "balance_insufficient")
    assert (second.status_code, second.json()["status"]) == (200, "succeeded")
    assert _effects(gateway, intent) == ["authorize", "capture", "refund"]


async def test_an_unknown_token_succeeds(client: Client) -> None:
    assert (await client.authorise("pm_whatever")).status_code == 200


async def test_two_server_errors_have_no_effect_and_the_third_attempt_succeeds(
    client: Client, gateway: RunningGateway
) -> None:
    form = order_form("pm_error_5xx")

    answers = [
        await client.post("/v1/payment_intents", form, key=f"5xx:{attempt}")
        for attempt in (1, 2, 3)
    ]

    assert [answer.status_code for answer in answers] == [500, 500, 200]
    assert answers[0].json()["error"]["type"] == "api_error"
    order = form["metadata[order_id]"]
    assert gateway.rows("SELECT kind FROM effects WHERE order_id = ?", order) == [("authorize",)]


async def test_a_lost_answer_had_its_effect_and_comes_with_the_same_key(
    client: Client, gateway: RunningGateway
) -> None:
    form = order_form("pm_answer_lost")

    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post("/v1/payment_intents", form, key="lost")
    order = form["metadata[order_id]"]
    effects = gateway.rows("SELECT intent_id, kind FROM effects WHERE order_id = ?", order)
    again = await client.post("/v1/payment_intents", form, key="lost")

    assert again.status_code == 200
    assert effects == [(again.json()["id"], "authorize")]
    assert _effects(gateway, again.json()["id"]) == ["authorize"]


async def test_an_answer_that_hangs_had_its_effect_and_comes_with_the_same_key(
    client: Client, gateway: RunningGateway
) -> None:
    form = order_form("pm_timeout")
    client.http.timeout = httpx2.Timeout(0.3)

    with pytest.raises(httpx2.ReadTimeout):
        await client.post("/v1/payment_intents", form, key="hangs")

    async def answered() -> httpx2.Response:
        answer = await client.post("/v1/payment_intents", form, key="hangs")
        assert answer.status_code == 200  # 409 until the gateway has noticed that the client left
        return answer

    again = await eventually(answered)

    assert _effects(gateway, again.json()["id"]) == ["authorize"]


@pytest.mark.slow
async def test_a_slow_gateway_takes_a_second(client: Client) -> None:
    before = time.monotonic()

    answer = await client.authorise("pm_slow")

    assert answer.status_code == 200
    assert time.monotonic() - before >= 1


async def test_a_capture_may_be_declined_and_the_money_stays_held(
    client: Client, gateway: RunningGateway
) -> None:
    intent = await client.authorised("pm_capture_fails")

    answer = await client.post(f"/v1/payment_intents/{intent}/capture")

    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "card_declined"
    assert (await client.get(f"/v1/payment_intents/{intent}"))["status"] == "requires_capture"
    assert (await client.post(f"/v1/payment_intents/{intent}/cancel")).status_code == 200
    assert _effects(gateway, intent) == ["authorize", "cancel"]


def _effects(gateway: RunningGateway, intent: str) -> list[str]:
    rows = gateway.rows("SELECT kind FROM effects WHERE intent_id = ? ORDER BY seq", intent)
    return [kind for (kind,) in rows]
