"""Loading, saving and leasing: what is written is read again, under everybody's locks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from common.due import Bottom
from common.message import Cause, uuid7
from payment_service.domain.payment import (
    Attempt,
    Book,
    Have,
    Kind,
    Operation,
    Payment,
    Refund,
    RefundStatus,
    Wanted,
)
from payment_service.messages import StockReserved
from payment_service.store import batches
from payment_service.store.leases import BOTTOM, are_errands_due, lease_errands

from tests.support.cashier import Cashier, placed
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

MINUTE = timedelta(minutes=1)


async def stored(cashier: Cashier, payment: Payment) -> Payment:
    async with cashier.database.transaction() as tx:
        book = Book(await batches.lock_payments(tx, [payment.order_id]))
        book.put(payment)
        await batches.save(tx, book)
    async with cashier.database.transaction() as tx:
        return (await batches.lock_known(tx, [payment.order_id])).of(payment.order_id)


def full() -> Payment:
    return Payment(
        order_id=uuid7(),
        wanted=Wanted.CLOSED,
        have=Have.CAPTURED,
        amount=2208,
        currency="GBP",
        payment_method="pm_ok",
        intent_id="pi_1",
        code="do_not_honor",
        captured=2208,
        refunded=678,
        refunds=(Refund(uuid7(), 678, RefundStatus.SUCCEEDED),),
        answer_owed=True,
        answered=True,
        cause=Cause(uuid7(), "story-1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    )


async def test_everything_that_a_payment_is_comes_back(cashier: Cashier) -> None:
    payment = full()
    attempt = Attempt(
        Operation(Kind.REFUND, payment.refunds[0].refund_id),
        number=3,
        calls=2,
        in_doubt=True,
        looks=1,
        called_at=datetime.now(UTC),
        last_call_at=datetime.now(UTC),
        token=uuid4(),
    )
    payment = replace(payment, attempt=attempt, delay=MINUTE)

    assert await stored(cashier, payment) == replace(payment, delay=None)


async def test_a_payment_of_which_nothing_is_known_is_blank(cashier: Cashier) -> None:
    blank = Payment(uuid7())

    assert await stored(cashier, blank) == blank


async def test_a_delay_moves_the_due_time_and_no_delay_leaves_it(cashier: Cashier) -> None:
    payment = replace(full(), attempt=Attempt(Operation(Kind.VOID)), delay=MINUTE)
    await stored(cashier, payment)
    due = (await cashier.payment(payment.order_id))["next_at"]
    await stored(cashier, replace(payment, delay=None, code="other"))

    row = await cashier.payment(payment.order_id)
    assert (row["next_at"], row["code"]) == (due, "other")
    await stored(cashier, replace(payment, attempt=None))
    assert (await cashier.payment(payment.order_id))["next_at"] is None


async def lease(cashier: Cashier, limit: int = 10) -> list[UUID]:
    async with cashier.database.transaction() as tx:
        errands = await lease_errands(tx, limit, uuid4(), MINUTE, key_life=MINUTE, hold_life=MINUTE)
    return [errand.order_id for errand in errands]


async def test_what_is_leased_is_due_again_only_when_the_lease_is_over(cashier: Cashier) -> None:
    first, second = await cashier.due(), await cashier.due()

    assert await lease(cashier, limit=1) == [first]
    assert await are_errands_due(cashier.database)
    assert await lease(cashier) == [second]
    assert not await are_errands_due(cashier.database)
    assert await lease(cashier) == []
    async with cashier.database.transaction() as tx:
        await tx.execute("UPDATE payments SET next_at = now() WHERE order_id = $1", first)
    assert await lease(cashier) == [first]
    assert (await cashier.payment(first))["calls"] == 2


async def test_payments_are_due_from_the_first_that_waits_on(cashier: Cashier) -> None:
    async def bottom() -> datetime:
        return await Bottom(BOTTOM).find(cashier.database.fetch)

    first = await cashier.due()
    await cashier.rows("UPDATE payments SET next_at = now() - interval '1 hour'")
    [row] = await cashier.rows("SELECT next_at FROM payments")
    assert await bottom() == row["next_at"]
    assert await are_errands_due(cashier.database, await bottom())
    assert not await are_errands_due(cashier.database, row["next_at"] + timedelta(seconds=1))

    assert await lease(cashier) == [first]

    age = datetime.now(UTC) - await bottom()
    assert timedelta(seconds=5) < age < timedelta(minutes=1), "what commits just now is above it"


@pytest.mark.parametrize("again", [None, timedelta(hours=1)])
async def test_a_look_for_late_money_goes_as_far_as_a_call_may_be_late(
    cashier: Cashier, again: timedelta | None
) -> None:
    made = datetime.now(UTC) - timedelta(days=30)
    last = made + again if again else None
    look = Attempt(Operation(Kind.LOOK), called_at=made, last_call_at=last)
    await stored(cashier, replace(full(), attempt=look, delay=timedelta(0)))

    for _ in range(2):  # one that took too long is made again
        async with cashier.database.transaction() as tx:
            (errand,) = await lease_errands(
                tx, 1, uuid4(), timedelta(0), key_life=MINUTE, hold_life=MINUTE
            )
        assert (errand.called_from, errand.called_to) == (made, (last or made) + MINUTE)


async def test_a_payment_that_somebody_has_locked_is_not_waited_for(cashier: Cashier) -> None:
    locked, free = await cashier.due(), await cashier.due()

    async with cashier.database.transaction() as tx:
        await batches.lock_known(tx, [locked])
        assert await lease(cashier) == [free]


async def test_facts_of_one_order_that_meet_in_two_instances_are_both_kept(
    cashier: Cashier,
) -> None:
    order_ids = [uuid7() for _ in range(50)]
    backwards = list(reversed(order_ids))

    await asyncio.gather(
        cashier.hear(*(placed(order_id) for order_id in order_ids)),
        cashier.hear(*(StockReserved(order_id=order_id) for order_id in backwards)),
    )

    (row,) = await cashier.rows("SELECT count(*) AS due FROM payments WHERE next_at IS NOT NULL")
    assert row["due"] == 50


async def test_who_waits_for_a_row_that_is_being_made_holds_no_other(cashier: Cashier) -> None:
    known, made = uuid7(), uuid7()
    await cashier.hear(placed(known))

    async def lock() -> set[UUID]:
        async with cashier.database.transaction() as tx:
            return set(await batches.lock_payments(tx, [known, made]))

    async with cashier.database.transaction() as tx:
        await batches.lock_payments(tx, [made])
        waiting = asyncio.create_task(lock())
        await eventually(lambda: _someone_waits(cashier))
        await batches.lock_known(tx, [known])

    assert await waiting == {known, made}


async def test_a_refund_that_was_added_while_the_lock_was_waited_for_is_seen(
    cashier: Cashier,
) -> None:
    payment = full()
    await stored(cashier, replace(payment, refunds=(), refunded=0))

    async def lock() -> Payment:
        async with cashier.database.transaction() as tx:
            return (await batches.lock_known(tx, [payment.order_id])).of(payment.order_id)

    async with cashier.database.transaction() as tx:
        book = await batches.lock_known(tx, [payment.order_id])
        waiting = asyncio.create_task(lock())
        await eventually(lambda: _someone_waits(cashier))
        book.put(payment)
        await batches.save(tx, book)

    assert await waiting == payment


async def _someone_waits(cashier: Cashier) -> bool:
    return bool(
        await cashier.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
    )


async def test_a_refund_that_the_version_before_added_is_seen(cashier: Cashier) -> None:
    payment = full()
    await stored(cashier, replace(payment, refunds=()))
    (refund,) = payment.refunds

    await cashier.rows(
        "INSERT INTO refunds (order_id, refund_id, amount, status, settled_at) "
        "VALUES ($1, $2, $3, $4, now())",
        payment.order_id,
        refund.refund_id,
        refund.amount,
        refund.status,
    )

    async with cashier.database.transaction() as tx:
        assert (await batches.lock_known(tx, [payment.order_id])).of(payment.order_id) == payment


async def test_a_refund_id_of_another_order_is_not_overwritten(cashier: Cashier) -> None:
    theirs = full()
    ours = replace(full(), refunds=theirs.refunds)
    await stored(cashier, theirs)

    with pytest.raises(Exception, match="pk_refunds"):
        await stored(cashier, ours)

    (row,) = await cashier.rows("SELECT order_id FROM refunds")
    assert row["order_id"] == theirs.order_id


@pytest.mark.parametrize(
    "wrong",
    [
        "refunded = 1",
        "captured = 1",
        "wanted = 'MORE'",
        "amount = 0",
        "operation = 'VOID'",
        "operation = 'REFUND', next_at = now()",
    ],
)
async def test_the_database_refuses_books_that_can_not_be(cashier: Cashier, wrong: str) -> None:
    order_id = uuid7()
    await cashier.hear(placed(order_id))

    with pytest.raises(Exception, match="violates check constraint"):
        await cashier.rows(f"UPDATE payments SET {wrong}")  # noqa: S608  the test's own words
