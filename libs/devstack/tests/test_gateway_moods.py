"""The whole gateway misbehaves as it is told, and is itself again afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.gateway import Client, RunningGateway


@pytest_asyncio.fixture(autouse=True)
async def _fine_again(client: Client) -> AsyncIterator[None]:
    yield
    await feel(client, "fine")


async def feel(client: Client, mood: str, path: str = "/", *, looks: bool = False) -> None:
    answer = await client.http.put("/mood", json={"mood": mood, "path": path, "looks": looks})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("mood", "status", "retry_after"),
    [("broken", 500, None), ("busy", 429, "1"), ("busy-silent", 429, None)],
)
async def test_a_refused_call_has_no_effect(
    client: Client, gateway: RunningGateway, mood: str, status: int, retry_after: str | None
) -> None:
    await feel(client, mood)

    refused = await client.authorise(key=f"key-{mood}")

    assert refused.status_code == status
    assert refused.headers.get("retry-after") == retry_after
    assert gateway.rows("SELECT 1 FROM effects WHERE idempotency_key = ?", f"key-{mood}") == []


async def test_garbage_hides_an_effect_that_the_same_key_shows(client: Client) -> None:
    await feel(client, "garbage")
    first = await client.authorise(key="key-garbage")
    await feel(client, "fine")

    (intent, *_) = (await client.get("/v1/payment_intents"))["data"]

    assert first.status_code == 200
    assert first.text.startswith("<html>")
    assert intent["status"] == "requires_capture"


async def test_a_wrong_amount_is_in_the_answer_alone(client: Client) -> None:
    await feel(client, "wrong-amount")
    answered = (await client.authorise(amount=1000)).json()
    await feel(client, "fine")

    assert answered["amount"] == 1001
    assert (await client.get(f"/v1/payment_intents/{answered['id']}"))["amount"] == 1000


async def test_a_mood_concerns_reading_only_if_told(client: Client) -> None:
    intent = await client.authorised(amount=1000)
    path = f"/v1/payment_intents/{intent}"
    await feel(client, "wrong-amount")
    truth = (await client.get(path))["amount"]

    await feel(client, "wrong-amount", looks=True)

    assert (truth, (await client.get(path))["amount"]) == (1000, 1001)
    listed = await client.get("/v1/payment_intents", limit=1)
    assert listed["data"][0]["amount"] == 1001
    await feel(client, "busy", looks=True)
    assert (await client.http.get(path)).status_code == 429


async def test_a_path_may_have_a_gap(client: Client) -> None:
    intent = await client.authorised()
    await feel(client, "broken", "/v1/*/capture")

    assert (await client.authorise()).status_code == 200
    assert (await client.post(f"/v1/payment_intents/{intent}/capture")).status_code == 500


async def test_a_mood_may_concern_one_path(client: Client) -> None:
    await feel(client, "broken", "/v1/refunds")

    assert (await client.authorise()).status_code == 200
    assert (await client.post("/v1/refunds", {"payment_intent": "pi_x"})).status_code == 500


async def test_an_unknown_mood_is_refused(client: Client) -> None:
    answer = await client.http.put("/mood", json={"mood": "sulky"})

    assert answer.status_code == 400
    assert "wrong-amount" in answer.json()["error"]["message"]
