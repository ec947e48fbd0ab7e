"""One effect and one answer for each idempotency key, whatever happens in between."""

import asyncio

from tests.support.gateway import Client, RunningGateway, order_form
from tests.support.waiting import eventually


async def test_the_same_request_again_is_answered_again_and_has_no_effect(
    client: Client, gateway: RunningGateway
) -> None:
    form = order_form()

    first = await client.post("/v1/payment_intents", form, key="again")
    second = await client.post("/v1/payment_intents", form, key="again")

    assert second.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert _effects(gateway, "again") == 1


async def test_parameters_may_come_in_another_order(client: Client) -> None:
    form = order_form()

    first = await client.post("/v1/payment_intents", form, key="shuffled")
    second = await client.post("/v1/payment_intents", dict(reversed(form.items())), key="shuffled")

    assert second.json() == first.json()


async def test_another_amount_under_the_same_key_is_refused(client: Client) -> None:
    form = order_form()
    await client.post("/v1/payment_intents", form, key="reused")

    answer = await client.post("/v1/payment_intents", form | {"amount": 999}, key="reused")

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "idempotency_error"


async def test_another_operation_under_the_same_key_is_refused(client: Client) -> None:
    intent = (await client.authorise(key="two operations")).json()["id"]

    answer = await client.post(f"/v1/payment_intents/{intent}/capture", key="two operations")

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "idempotency_error"


async def test_a_decline_is_remembered(client: Client) -> None:
    form = order_form("pm_declined")

    first = await client.post("/v1/payment_intents", form, key="declined")
    second = await client.post("/v1/payment_intents", form, key="declined")

    assert (first.status_code, second.status_code) == (402, 402)
    assert second.json() == first.json()


async def test_a_server_error_is_remembered_for_ever(client: Client) -> None:
    form = order_form("pm_error_5xx")

    answers = [await client.post("/v1/payment_intents", form, key="broken") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [500, 500, 500]
    assert answers[2].headers["idempotent-replayed"] == "true"


async def test_a_malformed_request_leaves_its_key_free(client: Client) -> None:
    form = order_form()
    await client.post("/v1/payment_intents", form | {"amount": "ten"}, key="typo")

    answer = await client.post("/v1/payment_intents", form, key="typo")

    assert answer.status_code == 200


async def test_a_twin_of_a_request_in_progress_is_refused(
    client: Client, gateway: RunningGateway
) -> None:
    form = order_form("pm_timeout")
    first = asyncio.create_task(client.post("/v1/payment_intents", form, key="twins"))
    await eventually(lambda: _effects(gateway, "twins") == 1)

    twin = await client.post("/v1/payment_intents", form, key="twins")
    first.cancel()

    assert twin.status_code == 409
    assert twin.json()["error"]["code"] == "idempotency_key_in_use"
    assert _effects(gateway, "twins") == 1


async def test_without_a_key_each_request_has_its_effect(client: Client) -> None:
    form = {name: str(value) for name, value in order_form().items()}

    answers = [await client.http.post("/v1/payment_intents", data=form) for _ in range(2)]

    assert answers[0].json()["id"] != answers[1].json()["id"]


def _effects(gateway: RunningGateway, key: str) -> int:
    number: int = gateway.rows("SELECT count(*) FROM effects WHERE idempotency_key = ?", key)[0][0]
    return number


async def test_calls_that_come_at_once_are_each_in_the_ledger_or_undone(
    client: Client, gateway: RunningGateway
) -> None:
    await client.authorise(key="key-taken", amount=1)
    calls = [client.authorise(key=f"key-at-once-{number}") for number in range(20)]

    refused, *answers = await asyncio.gather(client.authorise(key="key-taken", amount=2), *calls)

    effects = gateway.rows("SELECT 1 FROM effects WHERE idempotency_key LIKE 'key-at-once-%'")
    assert refused.status_code == 400
    assert {answer.status_code for answer in answers} == {200}
    assert len(effects) == 20
