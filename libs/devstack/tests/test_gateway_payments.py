"""The life of a payment at the gateway, in Stripe's wire format."""

import httpx2
import pytest

from tests.support.gateway import Client, RunningGateway, order_form


async def test_an_authorisation_holds_the_whole_amount(client: Client) -> None:
    intent = (await client.authorise(amount=1250)).json()

    assert intent["object"] == "payment_intent"
    assert intent["status"] == "requires_capture"
    assert (intent["amount"], intent["amount_capturable"], intent["amount_received"]) == (
        1250,
        1250,
        0,
    )
    assert intent["currency"] == "gbp"
    assert intent["metadata"]["order_id"].startswith("order-")
    assert await client.get(f"/v1/payment_intents/{intent['id']}") == intent


async def test_a_capture_takes_the_money_and_is_final(client: Client) -> None:
    intent = await client.authorised()

    captured = (await client.post(f"/v1/payment_intents/{intent}/capture")).json()
    again = await client.post(f"/v1/payment_intents/{intent}/capture")
    cancelled = await client.post(f"/v1/payment_intents/{intent}/cancel")

    assert (captured["status"], captured["amount_received"]) == ("succeeded", 1000)
    assert captured["amount_capturable"] == 0
    assert _refusal(again) == (400, "invalid_request_error", "payment_intent_unexpected_state")
    assert _refusal(cancelled) == (400, "invalid_request_error", "payment_intent_unexpected_state")


async def test_a_part_may_be_captured_and_the_rest_is_released(client: Client) -> None:
    intent = await client.authorised()

    answer = await client.post(f"/v1/payment_intents/{intent}/capture", {"amount_to_capture": 400})

    assert answer.json()["amount_received"] == 400
    assert answer.json()["amount_capturable"] == 0


async def test_more_than_is_held_is_never_captured(client: Client) -> None:
    intent = await client.authorised()

    answer = await client.post(f"/v1/payment_intents/{intent}/capture", {"amount_to_capture": 1001})

    assert _refusal(answer) == (400, "invalid_request_error", "amount_too_large")
    assert (await client.get(f"/v1/payment_intents/{intent}"))["status"] == "requires_capture"


async def test_a_cancelled_intent_holds_nothing_and_stays_cancelled(client: Client) -> None:
    intent = await client.authorised()
    reason = "requested_by_customer"

    cancelled = await client.post(
        f"/v1/payment_intents/{intent}/cancel", {"cancellation_reason": reason}
    )
    again = await client.post(f"/v1/payment_intents/{intent}/cancel")
    captured = await client.post(f"/v1/payment_intents/{intent}/capture")

    assert cancelled.json()["status"] == "canceled"
    assert cancelled.json()["amount_capturable"] == 0
    assert cancelled.json()["cancellation_reason"] == reason
    assert _refusal(again) == (400, "invalid_request_error", "payment_intent_unexpected_state")
    assert _refusal(captured) == (400, "invalid_request_error", "payment_intent_unexpected_state")


async def test_refunds_end_at_what_was_captured(client: Client) -> None:
    intent = await client.captured()

    part = await client.post("/v1/refunds", {"payment_intent": intent, "amount": 300})
    too_much = await client.post("/v1/refunds", {"payment_intent": intent, "amount": 701})
    rest = await client.post("/v1/refunds", {"payment_intent": intent})
    more = await client.post("/v1/refunds", {"payment_intent": intent, "amount": 1})

    assert (part.json()["object"], part.json()["status"]) == ("refund", "succeeded")
    assert (part.json()["amount"], rest.json()["amount"]) == (300, 700)
    assert _refusal(too_much) == (400, "invalid_request_error", None)
    assert _refusal(more) == (400, "invalid_request_error", "charge_already_refunded")


async def test_money_that_is_only_held_is_not_refunded(client: Client) -> None:
    intent = await client.authorised()

    answer = await client.post("/v1/refunds", {"payment_intent": intent})

    assert _refusal(answer) == (400, "invalid_request_error", "payment_intent_unexpected_state")


async def test_a_refund_is_found_again_alone_and_by_its_intent(client: Client) -> None:
    intent = await client.captured()
    form = {"payment_intent": intent, "amount": 5, "metadata[refund_id]": "r-1"}

    refund = (await client.post("/v1/refunds", form)).json()

    assert refund["metadata"] == {"refund_id": "r-1"}
    assert await client.get(f"/v1/refunds/{refund['id']}") == refund
    assert (await client.get("/v1/refunds", payment_intent=intent))["data"] == [refund]


async def test_a_list_is_paged_from_the_newest(client: Client) -> None:
    ids = [await client.authorised() for _ in range(3)]
    created = (await client.get(f"/v1/payment_intents/{ids[0]}"))["created"]

    first = await client.get("/v1/payment_intents", limit=2, **{"created[gte]": created})
    second = await client.get("/v1/payment_intents", limit=1, starting_after=ids[1])

    assert [intent["id"] for intent in first["data"]] == [ids[2], ids[1]]
    assert first["has_more"] is True
    assert [intent["id"] for intent in second["data"]] == [ids[0]]


async def test_a_list_ends_where_the_time_window_does(client: Client) -> None:
    intent = await client.authorised()
    created = (await client.get(f"/v1/payment_intents/{intent}"))["created"]

    before = await client.get("/v1/payment_intents", **{"created[lt]": 1})
    after = await client.get("/v1/payment_intents", **{"created[gt]": created + 60})
    now = await client.get(
        "/v1/payment_intents", **{"created[gte]": created, "created[lte]": created + 60}
    )

    assert (before["data"], after["data"]) == ([], [])
    assert intent in [found["id"] for found in now["data"]]


async def test_the_ledger_has_one_effect_for_each_movement_of_money(
    client: Client, gateway: RunningGateway
) -> None:
    taken, released = await client.captured(amount=900), await client.authorised(amount=70)
    await client.post(f"/v1/payment_intents/{released}/cancel")
    await client.post("/v1/refunds", {"payment_intent": taken, "amount": 100})

    effects = gateway.rows(
        "SELECT kind, amount FROM effects WHERE intent_id IN (?, ?) ORDER BY seq", taken, released
    )

    assert effects == [
        ("authorize", 900),
        ("capture", 900),
        ("authorize", 70),
        ("cancel", 70),
        ("refund", 100),
    ]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"amount": ""}, "parameter_missing", "amount"),
        ({"amount": "0"}, "parameter_invalid_integer", "amount"),
        ({"amount": "-5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "12.5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "100000000"}, "amount_too_large", "amount"),
        ({"currency": ""}, "parameter_missing", "currency"),
        ({"payment_method": ""}, "parameter_missing", "payment_method"),
        ({"colour": "red"}, "parameter_unknown", "colour"),
    ],
    ids=str,
)
async def test_a_malformed_request_is_refused_by_name(
    client: Client, change: dict[str, object], code: str, param: str
) -> None:
    answer = await client.post("/v1/payment_intents", order_form() | change)

    assert _refusal(answer) == (400, "invalid_request_error", code)
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("confirm", ["false", ""], ids=["not confirmed", "confirm missing"])
async def test_what_the_simulator_does_not_simulate_is_refused(
    client: Client, confirm: str
) -> None:
    answer = await client.post("/v1/payment_intents", order_form() | {"confirm": confirm})

    assert answer.status_code == 400
    assert "confirm=true" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ["/v1/payment_intents/pi_none/capture", "/v1/payment_intents/pi_none/cancel"],
    ids=["capture", "cancel"],
)
async def test_an_unknown_intent_is_not_found(client: Client, path: str) -> None:
    answer = await client.post(path)

    assert _refusal(answer) == (404, "invalid_request_error", "resource_missing")


async def test_an_unknown_refund_is_not_found(client: Client) -> None:
    answer = await client.http.get("/v1/refunds/re_none")

    assert _refusal(answer) == (404, "invalid_request_error", "resource_missing")


async def test_an_unknown_route_answers_in_stripes_form(client: Client) -> None:
    answer = await client.http.get("/v1/customers")

    assert _refusal(answer) == (404, "invalid_request_error", None)


@pytest.mark.parametrize("key", ["Bearer sk_test_other", "sk_test_pedido", ""])
async def test_a_caller_without_the_api_key_gets_nothing(gateway: RunningGateway, key: str) -> None:
    headers = {"Authorization": key}
    async with httpx2.AsyncClient(base_url=gateway.url, headers=headers) as http:
        answers = [await http.get("/v1/payment_intents"), await http.post("/v1/payment_intents")]

    assert [answer.status_code for answer in answers] == [401, 401]


def _refusal(answer: httpx2.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error.get("code")
