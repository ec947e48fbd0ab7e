"""Too much waits, or the database is slow: orders are refused in time, and reads go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from order_service.intake import Intake

from tests.support.live import LiveShop, open_live
from tests.support.postgres import Databases
from tests.support.shop import Caller
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def admin(databases: Databases) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(
        databases.admin_dsn, server_settings={"search_path": "orders"}
    )
    # Who gave up a lock after the usual 2 s would end the wait that a test is about.
    await connection.execute(
        f"ALTER ROLE orders_app IN DATABASE \"{databases.name}\" SET lock_timeout = '9s'"
    )
    yield connection
    await connection.close()


async def place(live: LiveShop, caller: Caller) -> httpx2.Response:
    return await live.place(caller, ("TEA", 1))


def assert_shed(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["retryable"] is True


async def answered(live: LiveShop, caller: Caller, status: int) -> httpx2.Response:
    """Order until the answer is this: the outbox is looked at once a second."""

    async def once() -> httpx2.Response | None:
        answer = await place(live, caller)
        return answer if answer.status_code == status else None

    answer = await eventually(once)
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    "bounds",
    [{"outbox_max_age": timedelta(minutes=1)}, {"outbox_max_rows": 3}],
    ids=["too old", "too deep"],
)
async def test_while_events_do_not_leave_orders_wait_outside_and_reads_go_on(
    databases: Databases, admin: asyncpg.Connection[asyncpg.Record], bounds: dict[str, Any]
) -> None:
    async with open_live(databases, **bounds) as live:  # nobody relays here
        await live.sell(("TEA", 250))
        customer = live.caller()
        order = (await place(live, customer)).json()["links"]["self"].removeprefix("/api/v1")
        for _ in range(3):
            await place(live, customer)
        await admin.execute("UPDATE outbox SET created_at = created_at - interval '2 minutes'")

        shed = await answered(live, customer, 503)
        read = await live.http.get(order, headers=customer.headers())
        await admin.execute("DELETE FROM outbox")
        taken = await answered(live, customer, 202)

    assert_shed(shed)
    assert read.status_code == 200
    assert taken.status_code == 202


async def test_an_event_that_the_broker_refuses_for_good_does_not_close_the_shop(
    databases: Databases, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with open_live(databases, outbox_max_age=timedelta(minutes=1)) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()
        order_id = (await place(live, customer)).json()["orderId"]
        await live.http.post(f"/orders/{order_id}/cancel", headers=customer.headers())
        await admin.execute("UPDATE outbox SET created_at = created_at - interval '2 minutes'")
        await admin.execute("UPDATE outbox SET refused = 'too large' WHERE type = 'OrderPlaced'")
        seen: int = live.app.state.parts.intake._backlog._newest

        async def looked_again() -> bool:
            assert (await place(live, customer)).status_code == 202
            return live.app.state.parts.intake._backlog._newest > seen + 2

        await eventually(looked_again)
        assert (await place(live, customer)).status_code == 202


async def test_the_outbox_is_looked_at_once_a_second_however_many_order(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_live(databases) as live:
        await live.sell(("TEA", 250))
        looks: list[object] = []
        fetch = live.database.fetch

        async def noted(*args: Any) -> Any:
            looks.append(args)
            return await fetch(*args)

        monkeypatch.setattr(live.database, "fetch", noted)
        clock = asyncio.get_running_loop().time
        began = clock()

        answers = await asyncio.gather(*(place(live, live.caller()) for _ in range(60)))

    assert {answer.status_code for answer in answers} == {202}
    assert 1 <= len(looks) <= clock() - began + 1


async def test_a_database_that_does_not_answer_sheds_in_time_and_stores_only_what_was_begun(
    databases: Databases, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with open_live(databases, intake_wait=timedelta(milliseconds=300)) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()
        await place(live, customer)
        clock = asyncio.get_running_loop().time

        async with admin.transaction():
            await admin.execute("LOCK TABLE order_lines")
            began = clock()
            first = await place(live, customer)
            others = await asyncio.gather(*(place(live, live.caller()) for _ in range(20)))
            took = clock() - began
        await answered(live, customer, 202)

        for answer in (first, *others):
            assert_shed(answer)
        assert took < 5
        queued = [row["customer_id"] for row in await live.rows("SELECT customer_id FROM orders")]
        assert set(queued) == {customer.id}


async def test_while_the_next_in_the_queue_waits_too_long_newcomers_are_refused_unread(
    databases: Databases, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with open_live(databases, intake_delay=timedelta(milliseconds=100)) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()
        intake = live.app.state.parts.intake
        async with asyncio.TaskGroup() as group, admin.transaction():
            await admin.execute("LOCK TABLE order_lines")
            begun = group.create_task(place(live, customer))
            await eventually(lambda: locked_out(live))
            queued = group.create_task(place(live, customer))

            await eventually(lambda: late(intake))
            json = {"content-type": "application/json"}
            shed = await live.http.post("/orders", content=b"neither JSON nor token", headers=json)
            read = await live.http.get("/products")
        later = await place(live, customer)

    assert_shed(shed)
    assert read.status_code == 200
    assert [begun.result().status_code, queued.result().status_code] == [202, 202]
    assert later.status_code == 202


async def locked_out(live: LiveShop) -> bool:
    return bool(
        await live.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
    )


async def late(intake: Intake) -> bool:
    """Tell whether somebody has waited for longer than the 100 ms that are allowed."""
    now = asyncio.get_running_loop().time()
    return bool(intake._queue) and now - intake._queue[0].queued_at > 0.1


async def test_an_order_that_was_shed_amid_its_commit_is_found_by_its_key(
    databases: Databases, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with open_live(databases, intake_wait=timedelta(milliseconds=300)) as live:
        await live.sell(("TEA", 250))
        customer = live.caller()

        async with admin.transaction():
            await admin.execute("LOCK TABLE order_lines")
            assert_shed(await live.place(customer, ("TEA", 1), key="mine"))

        async def again() -> httpx2.Response | None:
            answer = await live.place(customer, ("TEA", 1), key="mine")
            return answer if answer.status_code == 202 else None

        assert await eventually(again)
        assert len(await live.rows("SELECT FROM orders")) == 1
