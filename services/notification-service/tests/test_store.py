import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from uuid import UUID

import pytest
from common.database import Database
from common.message import StateRecord, uuid7
from notification_service.domain.letters import Letter, Settlement
from notification_service.domain.notices import Notice, Order
from notification_service.messages import CustomerChanged, Money, NotificationSent, OrderLine
from notification_service.store import customers, letters, notices, reads
from notification_service.store.reads import NoticeFilter

from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

POUNDS = Money(amount=1530, currency="GBP")
LINES = (OrderLine(sku="85123A", quantity=6, unit_price=Money(amount=255, currency="GBP")),)
LEASE = timedelta(minutes=1)
FACTS = ("notice", "order", "customer")


def of(order_id: UUID | None) -> NoticeFilter:
    return NoticeFilter(order_id=order_id)


def changed(customer_id: UUID, version: int, email: str = "ada@example.com") -> StateRecord:
    event = CustomerChanged(customer_id=customer_id, name="Ada", email=email, language="es")
    return StateRecord(str(customer_id), version, event, uuid7())


def erased(customer_id: UUID, version: int) -> StateRecord:
    return StateRecord(str(customer_id), version, None, uuid7())


async def learn(database: Database, fact: str, order_id: UUID, customer_id: UUID) -> None:
    async with database.transaction() as tx:
        if fact == "notice":
            notice = Notice(order_id, "refunded", str(order_id), money=POUNDS)
            await notices.add_notices(tx, [notice])
        elif fact == "order":
            await notices.add_orders(tx, [Order(order_id, customer_id, LINES, POUNDS)])
        else:
            await customers.save_customers(tx, [changed(customer_id, 1)])


async def lease(database: Database, limit: int = 10, lease_for: timedelta = LEASE) -> list[Letter]:
    async with database.transaction() as tx:
        return await letters.lease_letters(tx, limit, uuid7(), lease_for)


async def one_due(database: Database) -> Letter:
    order_id, customer_id = uuid7(), uuid7()
    for fact in FACTS:
        await learn(database, fact, order_id, customer_id)
    return (await lease(database))[0]


def sent(letter: Letter) -> Settlement:
    event = NotificationSent(
        order_id=letter.notice.order_id,
        customer_id=letter.customer.customer_id,
        kind="refunded",
        subject="",
        channel="email",
        language="en",
        template="refunded",
    )
    return Settlement(letter.notice_id, letter.token, "SENT", None, timedelta(), "delivered", event)


@pytest.mark.parametrize("facts", list(permutations(FACTS)), ids="-".join)
async def test_a_notice_is_due_when_all_it_needs_is_there_in_any_order(
    database: Database, facts: Sequence[str]
) -> None:
    order_id, customer_id = uuid7(), uuid7()
    due_before_the_last = []
    for fact in facts:
        due_before_the_last = await lease(database)
        await learn(database, fact, order_id, customer_id)

    due = await lease(database)

    assert due_before_the_last == []
    assert [letter.notice for letter in due] == [
        Notice(order_id, "refunded", str(order_id), money=POUNDS)
    ]
    assert due[0].order == Order(order_id, customer_id, LINES, POUNDS)
    assert (due[0].customer.address, due[0].content.language) == ("ada@example.com", "es")


async def test_a_leased_notice_is_nobody_elses(database: Database) -> None:
    await one_due(database)

    assert await lease(database) == []


async def test_two_senders_never_lease_the_same_notice(database: Database) -> None:
    for _ in range(40):
        order_id, customer_id = uuid7(), uuid7()
        for fact in FACTS:
            await learn(database, fact, order_id, customer_id)

    leased = await asyncio.gather(*(lease(database) for _ in range(4)))

    keys = [letter.notice.key for batch in leased for letter in batch]
    assert len(keys) == len(set(keys)) == 40


async def test_two_senders_never_hold_letters_to_the_same_recipient(database: Database) -> None:
    customer_id = uuid7()
    await learn(database, "customer", customer_id, customer_id)
    for _ in range(40):
        order_id = uuid7()
        await learn(database, "order", order_id, customer_id)
        await learn(database, "notice", order_id, customer_id)

    leased = await asyncio.gather(*(lease(database) for _ in range(4)))

    assert sorted(len(batch) for batch in leased) == [0, 0, 0, 10]


async def test_who_waited_for_another_sender_knows_what_was_owed_meanwhile(
    database: Database,
) -> None:
    order_id, customer_id = uuid7(), uuid7()
    await learn(database, "customer", order_id, customer_id)
    async with database.transaction() as other:
        await letters.lease_letters(other, 10, uuid7(), LEASE)
        async with database.transaction() as owing:
            await notices.add_notices(owing, [Notice(order_id, "confirmed")])
            await learn(database, "order", order_id, customer_id)
            waiting = asyncio.create_task(lease(database))
            await eventually(lambda: somebody_waits(database))

    assert [letter.notice.order_id for letter in await waiting] == [order_id]


async def somebody_waits(database: Database) -> bool:
    return bool(
        await database.fetch(
            "SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    )


async def test_letters_to_one_recipient_are_leased_in_the_order_in_which_they_were_owed(
    database: Database,
) -> None:
    customer_id = uuid7()
    await learn(database, "customer", customer_id, customer_id)
    order_ids = [uuid7() for _ in range(20)]
    for order_id in order_ids:
        await learn(database, "order", order_id, customer_id)
        await learn(database, "notice", order_id, customer_id)
    async with database.transaction() as tx:
        await tx.execute("UPDATE notifications SET due_at = now() - random() * interval '1 day'")

    leased = await lease(database, 12)

    assert [letter.notice.order_id for letter in leased] == order_ids[:12]


async def test_a_lease_that_ran_out_is_leased_again_and_the_old_outcome_is_void(
    database: Database,
) -> None:
    order_id, customer_id = uuid7(), uuid7()
    for fact in FACTS:
        await learn(database, fact, order_id, customer_id)
    first = (await lease(database, lease_for=timedelta(microseconds=1)))[0]

    second = (await lease(database))[0]
    async with database.transaction() as tx:
        written = await letters.save_settlements(tx, [sent(first)])

    assert second.attempt == 2
    assert written == set()
    async with database.transaction() as tx:
        assert await letters.save_settlements(tx, [sent(second)]) == {second.notice_id}


async def test_an_outcome_is_written_once(database: Database) -> None:
    letter = await one_due(database)

    async with database.transaction() as tx:
        first = await letters.save_settlements(tx, [sent(letter)])
        second = await letters.save_settlements(tx, [sent(letter)])
        logged = await reads.list_attempts(tx, letter.notice_id)

    assert (first, second) == ({letter.notice_id}, set())
    assert [row["outcome"] for row in logged] == ["delivered"]


async def test_a_notice_put_off_is_not_due_before_its_time(database: Database) -> None:
    letter = await one_due(database)
    later = Settlement(
        letter.notice_id, letter.token, "PENDING", "smtp_451", LEASE, "put_off", None
    )

    async with database.transaction() as tx:
        await letters.save_settlements(tx, [later])

    assert await lease(database) == []
    async with database.transaction() as tx:
        (row,) = await reads.list_notices(tx, of(letter.notice.order_id), after=None, limit=9)
    assert (row["status"], row["error"], row["attempt"]) == ("PENDING", "smtp_451", 1)


async def test_what_was_not_tried_has_cost_no_attempt(database: Database) -> None:
    letter = await one_due(database)
    untried = Settlement(letter.notice_id, letter.token, "PENDING", None, timedelta(), None, None)

    async with database.transaction() as tx:
        assert await letters.save_settlements(tx, [untried]) == {letter.notice_id}

    (again,) = await lease(database)
    assert (letter.attempt, again.attempt) == (1, 1)


async def test_a_notice_owed_twice_is_one_row(database: Database) -> None:
    order_id = uuid7()
    for _ in range(2):
        await learn(database, "notice", order_id, order_id)

    async with database.transaction() as tx:
        assert len(await reads.list_notices(tx, of(order_id), after=None, limit=9)) == 1


@pytest.mark.parametrize("versions", list(permutations((1, 2, 3))), ids=str)
async def test_the_newest_address_wins_whichever_came_last(
    database: Database, versions: Sequence[int]
) -> None:
    customer_id = uuid7()
    for version in versions:
        async with database.transaction() as tx:
            record = changed(customer_id, version, f"v{version}@example.com")
            await customers.save_customers(tx, [record])

    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT email FROM customers") == "v3@example.com"


async def test_an_erased_customer_stays_erased_and_is_written_to_no_more(
    database: Database,
) -> None:
    order_id, customer_id = uuid7(), uuid7()
    for fact in FACTS:
        await learn(database, fact, order_id, customer_id)
    for record in (erased(customer_id, 3), changed(customer_id, 2)):
        async with database.transaction() as tx:
            await customers.save_customers(tx, [record])

    (letter,) = await lease(database)

    assert letter.customer.address is None
    async with database.transaction() as tx:
        row = await tx.fetchrow("SELECT version, email, name FROM customers")
    assert row is not None
    assert tuple(row) == (3, None, None)
