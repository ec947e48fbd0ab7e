"""Every request of the adapter is valid by Stripe's own OpenAPI: stripe-mock is the judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
import pytest_asyncio
from devstack import stripe_mock
from devstack.processes import Processes
from payment_service.domain.answers import Errand
from payment_service.domain.payment import Kind, Operation
from payment_service.gateway.breaker import Breaker, Threshold
from payment_service.gateway.client import Client
from payment_service.gateway.meaning import read
from payment_service.gateway.wire import Intent, Page, Refund, request_of, window_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not stripe_mock.can_build(), reason="no `go` on PATH to build stripe-mock"),
]

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
REFUND = UUID("0198f3a0-0003-7000-8000-000000000003")
NOW = datetime.now(UTC)

ERRAND = Errand(
    order_id=ORDER,
    payment_id=uuid5(ORDER, "payment"),
    operation=Operation(Kind.AUTHORIZE),
    number=1,
    calls=1,
    token=ORDER,
    lease_ends=time.monotonic() + 3600,
    must_look=False,
    amount=2208,
    currency="GBP",
    payment_method="pm_card_visa",
    intent_id="pi_1",
    called_from=NOW,
    called_to=NOW,
)
REFUNDING = replace(ERRAND, operation=Operation(Kind.REFUND, REFUND), amount=678)


@pytest.fixture(scope="module")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    processes = Processes(tmp_path_factory.mktemp("stripe-mock"))
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner.run(stripe_mock.start(processes))
        runner.run(processes.stop_all())


@pytest_asyncio.fixture
async def client(stripe: str) -> AsyncIterator[Client]:
    threshold = Threshold(calls=100, failed=1, window=timedelta(minutes=1))
    breaker = Breaker("test", threshold, open_for=timedelta(seconds=1))
    patience = timedelta(seconds=10)
    async with Client(
        url=stripe, key="sk_test_123", timeout=patience, connections=2, breaker=breaker
    ) as client:
        yield client


@pytest.mark.parametrize("kind", [Kind.AUTHORIZE, Kind.CAPTURE, Kind.VOID])
async def test_an_intents_calls_are_valid(client: Client, kind: Kind) -> None:
    errand = replace(ERRAND, operation=Operation(kind))
    path, form = request_of(errand)

    reply = await client.post(path, form, errand.key)

    assert reply.status == 200, reply.body
    assert read(Intent, reply.body).id.startswith("pi_")


async def test_a_refund_is_valid(client: Client) -> None:
    path, form = request_of(REFUNDING)

    reply = await client.post(path, form, REFUNDING.key)

    assert reply.status == 200, reply.body
    assert read(Refund, reply.body).id.startswith("re_")


async def test_looks_are_valid(client: Client) -> None:
    window = window_of(ERRAND, timedelta(seconds=60)) | {"starting_after": "pi_0"}
    one = await client.get("/v1/payment_intents/pi_1", {})
    intents = await client.get("/v1/payment_intents", window)
    refunds = await client.get("/v1/refunds", {"payment_intent": "pi_1", "limit": "100"})

    assert [reply.status for reply in (one, intents, refunds)] == [200, 200, 200]
    assert read(Intent, one.body)
    assert read(Page[Intent], intents.body).data
    assert read(Page[Refund], refunds.body).data


@pytest.mark.parametrize(
    "spoiled",
    [{"capture_method": "later"}, {"amount": "much"}, {"colour": "red"}, {"confirm": "perhaps"}],
)
async def test_the_judge_does_judge(client: Client, spoiled: dict[str, str]) -> None:
    path, form = request_of(ERRAND)

    reply = await client.post(path, form | spoiled, ERRAND.key)

    assert reply.status == 400
    assert reply.body["error"]["type"] == "invalid_request_error"
