from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from common.database import Database
from common.errors import Refusal, Unavailable
from common.message import uuid7
from common.settings import PostgresSettings
from order_service.domain import Patience, PlaceOrder, WantedLine
from order_service.intake import Bounds, Intake, Submission
from order_service.store.keys import KeyRow, Slot
from pydantic import SecretStr

from tests.support.postgres import Databases
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

ROUTE = "POST /orders"


@pytest_asyncio.fixture
async def admin(databases: Databases) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(
        databases.admin_dsn, server_settings={"search_path": "orders"}
    )
    yield connection
    await connection.close()


@pytest.fixture
def intake(shop: Shop) -> Intake:
    return Intake(shop.database, patience=Patience())


def order(
    sku: str = "TEA", *, key: str | None = None, customer: UUID | None = None, digest: bytes = b"1"
) -> Submission:
    order_id, customer = uuid7(), customer or uuid7()
    command = PlaceOrder(
        order_id=order_id,
        customer_id=customer,
        lines=(WantedLine(sku, 1),),
        payment_method="pm_ok",
    )
    row = KeyRow(
        slot=Slot(customer, ROUTE, key or str(order_id)),
        fingerprint=digest,
        status=202,
        body=str(order_id).encode(),
        order_id=order_id,
    )
    return Submission(command, row)


async def outcomes(intake: Intake, *orders: Submission) -> list[Any]:
    return await asyncio.gather(*map(intake.submit, orders), return_exceptions=True)


async def test_orders_that_arrive_together_share_a_transaction(shop: Shop, intake: Intake) -> None:
    await shop.sell(("TEA", 250))

    answers = await outcomes(intake, *(order() for _ in range(150)))

    assert {answer.status for answer in answers} == {202}
    assert len(await shop.rows("SELECT DISTINCT xmin::text FROM orders")) == 1
    assert len(await shop.rows("SELECT FROM orders")) == 150


async def test_more_than_a_batch_are_all_answered(shop: Shop, intake: Intake) -> None:
    await shop.sell(("TEA", 250))

    answers = await outcomes(intake, *(order() for _ in range(450)))

    assert {answer.status for answer in answers} == {202}
    assert len(await shop.rows("SELECT DISTINCT xmin::text FROM orders")) == 3


async def test_an_order_is_visible_when_it_is_answered(shop: Shop, intake: Intake) -> None:
    await shop.sell(("TEA", 250))

    answer = await intake.submit(order())

    found = await shop.rows("SELECT FROM orders WHERE order_id = $1", answer.order_id)
    assert len(found) == 1
    assert len(await shop.rows("SELECT FROM outbox WHERE type = 'OrderPlaced'")) == 1


async def test_a_refused_order_does_not_refuse_its_neighbours(shop: Shop, intake: Intake) -> None:
    await shop.sell(("TEA", 250))

    good, bad, better = await outcomes(intake, order(), order("NONE"), order())

    assert isinstance(bad, Refusal)
    assert bad.code == "unknown_product"
    assert (good.status, better.status) == (202, 202)
    assert len(await shop.rows("SELECT FROM idempotency_keys")) == 2


async def test_an_order_that_breaks_its_transaction_fails_alone(
    shop: Shop, intake: Intake, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await shop.sell(("TEA", 250), ("CURSED", 13))
    await admin.execute("ALTER TABLE order_lines ADD CONSTRAINT curse CHECK (sku <> 'CURSED')")
    orders = [order("CURSED" if n == 17 else "TEA") for n in range(40)]

    answers = await outcomes(intake, *orders)

    assert isinstance(answers.pop(17), asyncpg.CheckViolationError)
    assert {answer.status for answer in answers} == {202}
    assert len(await shop.rows("SELECT FROM orders")) == 39


async def test_an_order_whose_key_is_held_elsewhere_does_not_hold_up_its_neighbours(
    shop: Shop, intake: Intake
) -> None:
    await shop.sell(("TEA", 250))
    held = order(key="held")

    async with shop.database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO idempotency_keys (principal, route, key, fingerprint, status, body,
                                          created_at)
            VALUES ($1, $2, 'held', '1', 202, '', now())
            """,
            held.command.customer_id,
            ROUTE,
        )
        first, refused, last = await outcomes(intake, order(), held, order())

    assert (first.status, last.status) == (202, 202)
    assert isinstance(refused, Refusal)
    assert refused.code == "idempotency_in_flight"


async def test_a_key_that_is_committed_meanwhile_answers_what_it_stands_for(
    shop: Shop, intake: Intake
) -> None:
    await shop.sell(("TEA", 250))
    customer = uuid7()
    late = order(key="k", customer=customer)

    async with shop.database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO idempotency_keys (principal, route, key, fingerprint, status, body,
                                          order_id, created_at)
            VALUES ($1, $2, 'k', '1', 202, 'theirs', $3, now())
            """,
            customer,
            ROUTE,
            uuid7(),
        )
        waiting = asyncio.create_task(intake.submit(late))
        await eventually(lambda: _is_blocked(shop))
    answer = await waiting

    assert answer.body == b"theirs"
    assert answer.replayed
    assert not await shop.rows("SELECT FROM orders")


async def test_a_key_stored_with_our_own_order_is_our_success(shop: Shop, intake: Intake) -> None:
    await shop.sell(("TEA", 250))
    mine = order()
    await intake.submit(mine)

    # As after a commit whose answer was lost: the same order id is sent again.
    answer = await intake.submit(mine)

    assert not answer.replayed
    assert answer.body == mine.row.body
    assert len(await shop.rows("SELECT FROM orders")) == 1


async def test_a_lost_connection_is_tried_again(
    shop: Shop, intake: Intake, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await shop.sell(("TEA", 250))
    mine = order(key="k")

    async with admin.transaction():
        await admin.execute("LOCK TABLE idempotency_keys")
        waiting = asyncio.create_task(intake.submit(mine))
        await eventually(lambda: _is_blocked(shop))
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            "wait_event_type = 'Lock' AND datname = current_database()"
        )
    answer = await waiting

    assert answer.order_id == mine.command.order_id
    assert len(await shop.rows("SELECT FROM orders")) == 1


async def test_a_database_that_stays_away_is_said_to_be_away() -> None:
    nowhere = PostgresSettings(
        database_url=SecretStr("postgresql://orders_app@127.0.0.1:9/pedido"), db_schema="orders"
    )
    database = Database(nowhere, name="order-service")

    intake = Intake(database, patience=Patience())
    answers = await outcomes(intake, *(order() for _ in range(450)))

    assert {type(answer) for answer in answers} == {Unavailable}


async def test_more_callers_than_the_queue_holds_are_told_to_come_back(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    intake = Intake(shop.database, patience=Patience(), bounds=Bounds(capacity=5))

    answers = await outcomes(intake, *(order() for _ in range(8)))
    later = await intake.submit(order())

    told = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert [answer.code for answer in told] == ["overloaded"] * 3
    assert all(answer.retry_after >= 1 for answer in told)
    assert later.status == 202


async def test_a_caller_who_hangs_up_does_not_take_the_answer_with_them(
    shop: Shop, intake: Intake
) -> None:
    await shop.sell(("TEA", 250))
    mine = order()
    impatient = asyncio.create_task(intake.submit(mine))
    patient = asyncio.create_task(intake.submit(mine))
    await asyncio.sleep(0)

    impatient.cancel()

    assert (await patient).status == 202


async def test_equal_keys_in_the_queue_share_one_order_or_are_refused(
    shop: Shop, intake: Intake
) -> None:
    await shop.sell(("TEA", 250))
    customer = uuid7()
    orders = [order(key="k", customer=customer, digest=digest) for digest in (b"1", b"1", b"2")]

    first, second, third = await outcomes(intake, *orders)

    assert first.body == second.body
    assert isinstance(third, Refusal)
    assert third.code == "idempotency_mismatch"


async def _is_blocked(shop: Shop) -> bool:
    return bool(
        await shop.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
    )
