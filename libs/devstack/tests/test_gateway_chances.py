"""Trouble by chance: as often as told, the same for the same seed, and never a second effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from devstack.simulator.chances import Chances, Mishap
from devstack.simulator.refusals import Refusal

from tests.support.gateway import Client, RunningGateway, order_form


@pytest_asyncio.fixture
async def _fine_again(client: Client) -> AsyncIterator[None]:
    yield
    assert (await client.http.put("/chances", json={})).status_code == 200


def test_trouble_comes_as_often_as_told_and_alike_for_a_seed() -> None:
    odds = {"errors": 0.3, "hangs": 0.05, "lost": 0.02, "seed": 7}
    first, second = Chances(), Chances()
    first.become(odds)
    second.become(odds)

    rolled = [first.roll() for _ in range(20_000)]

    assert [second.roll() for _ in range(20_000)] == rolled
    seen = Counter(rolled)
    errors = seen[Mishap.PROXY] + seen[Mishap.BROKEN] + seen[Mishap.BROKEN_AFTER]
    assert errors == pytest.approx(6000, rel=0.05)
    assert seen[Mishap.HANGS] == pytest.approx(1000, rel=0.15)
    assert seen[Mishap.LOST] == pytest.approx(400, rel=0.25)


def test_answers_take_as_long_as_the_two_percentiles_say() -> None:
    chances = Chances()
    chances.become({"median": 0.01, "p99": 0.2, "seed": 7})

    taken = sorted(chances.latency() for _ in range(20_000))

    assert taken[10_000] == pytest.approx(0.01, rel=0.1)
    assert taken[19_800] == pytest.approx(0.2, rel=0.25)


@pytest.mark.parametrize("odds", [{"errors": 1.1}, {"hangs": -1}, {"lost": "often"}])
def test_impossible_odds_are_refused(odds: dict[str, object]) -> None:
    with pytest.raises(Refusal):
        Chances().become(odds)


@pytest.mark.usefixtures("_fine_again")
async def test_whatever_befalls_a_key_has_one_effect_at_most(
    client: Client, gateway: RunningGateway
) -> None:
    odds = {"errors": 0.5, "lost": 0.2, "seed": 3, "median": 0.001, "p99": 0.002}
    assert (await client.http.put("/chances", json=odds)).status_code == 200
    form = order_form()

    statuses = set()
    for attempt in range(12):
        key = f"chance-{attempt // 4}"
        try:
            statuses.add((await client.post("/v1/payment_intents", form, key=key)).status_code)
        except httpx2.RemoteProtocolError:
            statuses.add(0)

    assert 500 in statuses
    query = "SELECT idempotency_key, count(*) FROM effects WHERE order_id = ? GROUP BY 1"
    assert all(n == 1 for _, n in gateway.rows(query, form["metadata[order_id]"]))
