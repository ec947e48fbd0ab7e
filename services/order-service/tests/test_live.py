"""Live streams of orders, over a real socket."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from order_service.api.live import Stream
from order_service.domain import Patience
from order_service.stream import Feed, Limits
from starlette.types import Message

from tests.support.live import LiveShop, ask, cancel, listening, open_live, place, settle
from tests.support.postgres import Databases
from tests.support.shop import Caller
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


async def test_a_stream_tells_what_was_and_what_comes_and_ends_when_it_is_settled(
    live: LiveShop,
) -> None:
    customer = live.caller()
    order_id = await place(live, customer)

    async with live.listen(customer, order_id) as ear:
        (placed,) = await ear.hear(1)
        await cancel(live, customer, order_id)
        await settle(live, order_id)
        rest = await ear.hear_out()

    assert ear.answer.headers["content-type"].startswith("text/event-stream")
    assert placed | {"at": "", "eventId": ""} == {
        "orderId": order_id,
        "version": 1,
        "type": "OrderPlaced",
        "at": "",
        "service": "order-service",
        "eventId": "",
        "status": "PENDING",
        "saga": "RUNNING",
        "terminal": False,
    }
    assert [(event["version"], event["type"], event["status"]) for event in rest] == [
        (2, "OrderCancelRequested", "CANCELLING"),
        (3, "StockReleased", "CANCELLING"),
        (4, "PaymentVoided", "CANCELLING"),
        (5, "OrderCancelled", "CANCELLED"),
    ]
    assert [event["terminal"] for event in rest] == [False, False, False, True]
    await listening(live, 0)


@pytest.mark.parametrize("last", range(5))
async def test_a_stream_goes_on_after_the_last_event_that_came(live: LiveShop, last: int) -> None:
    customer = live.caller()
    order_id = await place(live, customer)
    await cancel(live, customer, order_id)
    await settle(live, order_id)

    async with live.listen(customer, order_id, after=last) as ear:
        heard = await ear.hear_out()

    assert [event["version"] for event in heard] == list(range(last + 1, 6))


async def test_one_who_heard_everything_of_a_settled_order_need_not_come_back(
    live: LiveShop,
) -> None:
    customer = live.caller()
    order_id = await place(live, customer)
    await cancel(live, customer, order_id)
    await settle(live, order_id)

    answers = [await ask(live, customer, order_id, **{"Last-Event-ID": n}) for n in ("5", "99")]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2


@pytest.fixture
def looks(live: LiveShop, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Write down each statement that is run by itself."""
    looks: list[object] = []
    fetch = live.database.fetch

    async def noted(*args: Any) -> Any:
        looks.append(args[1])
        return await fetch(*args)

    monkeypatch.setattr(live.database, "fetch", noted)
    return looks


async def test_everybody_hears_the_same_and_the_database_is_asked_once_for_all(
    live: LiveShop, looks: list[object]
) -> None:
    customer, staff = live.caller(), live.caller("staff")
    order_id = await place(live, customer)

    async def one(caller: Caller) -> list[dict[str, Any]]:
        async with live.listen(caller, order_id) as ear:
            return await ear.hear_out()

    clock = asyncio.get_running_loop().time
    began = clock()
    ears = [asyncio.create_task(one(caller)) for caller in (customer, staff) for _ in range(20)]
    await listening(live, 40)
    await cancel(live, customer, order_id)
    await settle(live, order_id)
    first, *others = await asyncio.gather(*ears)

    assert [event["version"] for event in first] == [1, 2, 3, 4, 5]
    assert all(other == first for other in others)
    assert 1 <= len(looks) <= (clock() - began) / 0.1 + 2


async def test_nobody_listens_and_nobody_asks(live: LiveShop, looks: list[object]) -> None:
    customer = live.caller()
    order_id = await place(live, customer)
    async with live.listen(customer, order_id) as ear:
        await ear.hear(1)
    await listening(live, 0)

    seen = len(looks)
    await asyncio.sleep(0.5)  # that nothing happens can't be waited for
    assert len(looks) <= seen + 1  # the look that was under way

    async with live.listen(customer, order_id) as ear:
        assert len(await ear.hear(1)) == 1


async def test_a_listener_who_hangs_up_gives_its_place_back(live: LiveShop) -> None:
    customer = live.caller()
    order_id = await place(live, customer)

    async with live.listen(customer, order_id) as ear:
        await ear.hear(1)
        assert live.feed._callers.total() == 1

    await listening(live, 0)
    assert not live.feed._watched


async def test_silence_is_broken_by_heartbeats(databases: Databases) -> None:
    async with open_live(databases, stream_heartbeat=timedelta(milliseconds=50)) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()
        order_id = await place(live, customer)

        async with live.listen(customer, order_id) as ear:
            await ear.hear(1)
            await ear.comment()
            await ear.comment()


async def test_a_stream_ends_after_its_time_and_goes_on_where_it_was(databases: Databases) -> None:
    async with open_live(databases, stream_life=timedelta(milliseconds=500)) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()
        order_id = await place(live, customer)

        async def heard(after: int | None = None) -> list[dict[str, Any]]:
            """Listen until the time is over, in which a busy machine may have told nothing."""
            async with live.listen(customer, order_id, after=after) as ear:
                return await ear.hear_out()

        first = await eventually(heard)
        await cancel(live, customer, order_id)
        second = await eventually(lambda: heard(first[-1]["version"]))

    assert [event["version"] for event in first + second] == [1, 2]


async def test_there_is_an_end_to_the_listeners(databases: Databases) -> None:
    async with open_live(databases, listeners_max=3, listeners_per_caller=2) as live:
        await live.sell(("TEA", 250))
        ana, ben, cleo = (live.caller() for _ in range(3))
        anas, bens, cleos = [await place(live, each) for each in (ana, ben, cleo)]

        async with live.listen(ana, anas), live.listen(ana, anas):
            await listening(live, 2)
            third = await ask(live, ana, anas)
            poll = await live.http.get(f"/orders/{anas}/status?wait=5", headers=ana.headers())
            async with live.listen(ben, bens):
                await listening(live, 3)
                full = await ask(live, cleo, cleos)
        await listening(live, 0)
        async with live.listen(cleo, cleos) as ear:
            assert len(await ear.hear(1)) == 1

    for answer, status, code in [
        (third, 429, "rate_limited"),
        (poll, 429, "rate_limited"),
        (full, 503, "overloaded"),
    ]:
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Last-Event-ID": "x"}, 422, "validation_failed"),
        ({"Last-Event-ID": ""}, 422, "validation_failed"),
        ({"Last-Event-ID": "-1"}, 422, "validation_failed"),
        ({"Last-Event-ID": str(2**31)}, 422, "validation_failed"),
        ({"Last-Event-ID": "9" * 5000}, 422, "validation_failed"),
        ({"Accept": "application/json"}, 406, "not_acceptable"),
        ({"Authorization": "Bearer nonsense"}, 401, "unauthenticated"),
    ],
    ids=["word", "nothing", "negative", "2^31", "5,000 digits", "wants JSON", "no token"],
)
async def test_what_is_no_request_for_a_stream(
    live: LiveShop, headers: dict[str, str], status: int, code: str
) -> None:
    customer = live.caller()
    order_id = await place(live, customer)

    answer = await ask(live, customer, order_id, **headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert live.feed._callers.total() == 0


async def test_a_reader_who_does_not_read_holds_nothing_and_is_cut_off(
    databases: Databases,
) -> None:
    blink = timedelta(milliseconds=200)
    async with open_live(databases) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()
        order_id = UUID(await place(live, customer))
        feed = Feed(live.database, patience=Patience(), limits=Limits(life=blink, grace=blink))
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)
            if len(sent) == 3:  # the head, the first line, the first event
                await asyncio.Event().wait()

        async def receive() -> Message:
            return await asyncio.Future()

        stop = asyncio.Event()
        looking = asyncio.create_task(feed.run(stop))
        stream = Stream(feed, order_id, customer.id, 0)
        await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
        stop.set()
        await looking

    assert len(sent) == 3
    assert not feed._watched


async def test_an_event_that_only_a_newer_process_knows_ends_the_stream(live: LiveShop) -> None:
    customer = live.caller()
    order_id = await place(live, customer)

    async with live.listen(customer, order_id) as ear:
        await ear.hear(1)
        async with live.database.transaction() as tx:
            await tx.execute(
                """
                INSERT INTO order_events (order_id, version, type, service, data, occurred_at,
                                          recorded_at, event_id)
                VALUES ($1, 2, 'OrderPraised', 'order-service', '{}', now(), now(), $1)
                """,
                UUID(order_id),
            )
        assert await ear.hear_out() == []
