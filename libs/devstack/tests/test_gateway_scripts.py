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


@pytest.mark.parametrize(
    ("mood", "status", "retry_after"),
    [("broken", 500, None), ("busy", 429, "1"), ("busy_silent", 429, None)],
)
async def test_a_first_attempt_is_turned_away_and_its_key_is_free(
    client: Client, gateway: RunningGateway, mood: str, status: int, retry_after: str | None
) -> None:
    form = order_form(f"pm_answer_{mood}")
    first, second = [
        await client.post("/v1/payment_intents", form, key=f"first-{mood}") for _ in range(2)
    ]

    assert (first.status_code, first.headers.get("retry-after")) == (status, retry_after)
    assert second.status_code == 200
    assert _effects(gateway, second.json()["id"]) == ["authorize"]


@pytest.mark.parametrize("mood", ["garbage", "truncated", "reset"])
async def test_an_answer_that_can_not_be_read_comes_whole_with_the_same_key(
    client: Client, gateway: RunningGateway, mood: str
) -> None:
    form = order_form(f"pm_answer_{mood}")

    with pytest.raises((ValueError, httpx2.TransportError)):
        (await client.post("/v1/payment_intents", form, key=mood)).json()
    again = await client.post("/v1/payment_intents", form, key=mood)

    assert again.headers["idempotent-replayed"] == "true"
    assert _effects(gateway, again.json()["id"]) == ["authorize"]


async def test_an_answer_at_one_byte_a_second_ends_when_the_client_leaves(client: Client) -> None:
    form = order_form("pm_answer_drip")

    async def read_some() -> int:
        async with client.http.stream("POST", "/v1/payment_intents", data=form, headers=key) as it:
            return len(await anext(it.aiter_raw()))

    key = {"Idempotency-Key": "drip"}
    assert await read_some() == 1

    async def answered() -> httpx2.Response:
        answer = await client.post("/v1/payment_intents", form, key="drip")
        assert answer.status_code == 200  # 409 until the gateway has noticed that the client left
        return answer

    assert (await eventually(answered)).json()["status"] == "requires_capture"


@pytest.mark.parametrize(
    ("mood", "name", "told"),
    [
        ("wrong_amount", "amount", 1001),
        ("wrong_currency", "currency", "jpy"),
        ("wrong_type", "amount", 1000),
    ],
)
async def test_only_the_first_answer_tells_something_wrong(
    client: Client, mood: str, name: str, told: object
) -> None:
    form = order_form(f"pm_answer_{mood}")
    first = await client.post("/v1/payment_intents", form, key=mood)
    again = await client.post("/v1/payment_intents", form, key=mood)

    assert first.json()[name] == told
    assert first.headers["content-type"].startswith(
        "text/html" if mood == "wrong_type" else "application/json"
    )
    assert again.json()[name] == {"amount": 1000, "currency": "gbp"}[name]
    assert again.headers["content-type"] == "application/json"


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
