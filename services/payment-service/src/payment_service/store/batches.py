"""Load and save of a batch's payments: every row locked once, in one order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg
from common.database import Transaction
from common.message import Cause, Received

from payment_service.domain.payment import (
    AT_ONCE,
    Attempt,
    Book,
    Goods,
    Have,
    Kind,
    Operation,
    Payment,
    Refund,
    RefundStatus,
    Wanted,
)

CHARGING_BELL = "charging"
"""Rung when something has become due."""


async def load(tx: Transaction, batch: Sequence[Received]) -> Book:
    """Lock and read the payments of the batch's orders."""
    order_ids = {UUID(message.event.key()) for message in batch}
    return Book(await lock_payments(tx, sorted(order_ids)))


async def lock_payments(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """Lock the rows of sorted orders; missing ones are made first: only a row can be locked.

    Whoever waits here for a row that another makes holds none that was there before: no cycle.
    """
    made = await _make(tx, order_ids)
    known = [order_id for order_id in order_ids if order_id not in made]
    return made | await _lock_known(tx, known) if known else made


async def _make(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    blanks = [Payment(order_id) for order_id in order_ids]
    made = await tx.fetch(
        """
        INSERT INTO payments (order_id, payment_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])
            ON CONFLICT DO NOTHING
        RETURNING order_id
        """,
        order_ids,
        [blank.payment_id for blank in blanks],
    )
    new = {row["order_id"] for row in made}
    return {blank.order_id: blank for blank in blanks if blank.order_id in new}


async def lock_known(tx: Transaction, order_ids: Iterable[UUID]) -> Book:
    """Lock the orders' payments that are there; unlike an event, an answer makes none."""
    return Book(await _lock_known(tx, sorted(order_ids)))


async def lock_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    """Lock a payment that is there; unlike an event, a notice makes none."""
    order_id = await tx.fetchval(
        "SELECT order_id FROM payments WHERE payment_id = $1 FOR UPDATE", payment_id
    )
    return (await _lock_known(tx, [order_id]))[order_id] if order_id else None


_READ = """
SELECT order_id, customer_id, wanted, have, amount, currency, payment_method, intent_id,
       code, captured, refunded, answer_owed, answered, operation, refund_id, attempt,
       calls, in_doubt, looks, called_at, last_call_at, lease_token, cause_id,
       correlation_id, traceparent, goods, has_refunds
  FROM payments WHERE order_id = ANY($1::uuid[]) ORDER BY order_id
"""


async def payments_of(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """Read the payments of orders, without a lock."""
    return await _known(tx, _READ, order_ids)


async def _lock_known(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    return await _known(tx, f"{_READ} FOR UPDATE", order_ids)


async def _known(tx: Transaction, query: str, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    rows = await tx.fetch(query, order_ids)
    # A statement of its own: one that waits for the lock goes on with what it saw before.
    refunds = await _refunds_of(tx, [row["order_id"] for row in rows if row["has_refunds"]])
    return {row["order_id"]: _payment(row, refunds[row["order_id"]]) for row in rows}


async def _refunds_of(
    tx: Transaction, order_ids: Sequence[UUID]
) -> defaultdict[UUID, list[Refund]]:
    refunds: defaultdict[UUID, list[Refund]] = defaultdict(list)
    if not order_ids:
        return refunds
    rows = await tx.fetch(
        """
        SELECT order_id, refund_id, amount, status, code
          FROM refunds WHERE order_id = ANY($1::uuid[]) ORDER BY created_at, refund_id
        """,
        order_ids,
    )
    for order_id, refund_id, amount, status, code in rows:
        refunds[order_id].append(Refund(refund_id, amount, RefundStatus(status), code))
    return refunds


def _payment(row: asyncpg.Record, refunds: Sequence[Refund]) -> Payment:
    return Payment(
        order_id=row["order_id"],
        customer_id=row["customer_id"],
        wanted=Wanted(row["wanted"]),
        have=Have(row["have"]),
        goods=Goods(row["goods"]),
        amount=row["amount"],
        currency=row["currency"],
        payment_method=row["payment_method"],
        intent_id=row["intent_id"],
        code=row["code"],
        captured=row["captured"],
        refunded=row["refunded"],
        refunds=tuple(refunds),
        answer_owed=row["answer_owed"],
        answered=row["answered"],
        attempt=_attempt(row) if row["operation"] else None,
        cause=_cause(row) if row["cause_id"] else None,
    )


def _attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(
        operation=Operation(Kind(row["operation"]), row["refund_id"]),
        number=row["attempt"],
        calls=row["calls"],
        in_doubt=row["in_doubt"],
        looks=row["looks"],
        called_at=row["called_at"],
        last_call_at=row["last_call_at"],
        token=row["lease_token"],
    )


def _cause(row: asyncpg.Record) -> Cause:
    return Cause(row["cause_id"], row["correlation_id"], row["traceparent"])


async def save(tx: Transaction, book: Book) -> None:
    """Write what changed, one statement a table, and ring for what is due now."""
    changed = [book.of(order_id) for order_id in book.changed]
    if not changed:
        return
    await tx.execute(_SAVE, *zip(*map(_row, changed), strict=True))
    await _save_refunds(tx, [(p, refund) for p in changed for refund in p.refunds])
    if any(payment.attempt and payment.delay == AT_ONCE for payment in changed):
        tx.ring(CHARGING_BELL)


_SAVE = """
UPDATE payments AS p
   SET customer_id = n.customer_id, wanted = n.wanted, have = n.have,
       amount = n.amount, currency = n.currency, payment_method = n.payment_method,
       intent_id = n.intent_id, code = n.code,
       captured = n.captured, refunded = n.refunded, answer_owed = n.answer_owed,
       answered = n.answered, operation = n.operation, refund_id = n.refund_id,
       attempt = n.attempt, calls = n.calls, in_doubt = n.in_doubt, looks = n.looks,
       called_at = n.called_at, last_call_at = n.last_call_at, lease_token = n.lease_token,
       next_at = CASE WHEN n.operation IS NOT NULL THEN coalesce(now() + n.delay, p.next_at) END,
       cause_id = n.cause_id, correlation_id = n.correlation_id, traceparent = n.traceparent,
       goods = n.goods, updated_at = now(),
       authorized_at = CASE WHEN n.have = 'AUTHORIZED' AND p.have <> n.have
                            THEN coalesce(p.called_at, now()) ELSE p.authorized_at END
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[],
              $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::boolean[],
              $12::boolean[], $13::text[], $14::uuid[], $15::integer[], $16::integer[],
              $17::boolean[], $18::integer[], $19::timestamptz[], $20::timestamptz[],
              $21::uuid[], $22::interval[], $23::uuid[], $24::text[], $25::text[],
              $26::uuid[], $27::text[])
       AS n (order_id, wanted, have, amount, currency, payment_method, intent_id, code,
             captured, refunded, answer_owed, answered, operation, refund_id, attempt, calls,
             in_doubt, looks, called_at, last_call_at, lease_token, delay, cause_id,
             correlation_id, traceparent, customer_id, goods)
 WHERE p.order_id = n.order_id
"""


def _row(payment: Payment) -> tuple[object, ...]:
    return (
        payment.order_id,
        payment.wanted,
        payment.have,
        payment.amount,
        payment.currency,
        payment.payment_method,
        payment.intent_id,
        payment.code,
        payment.captured,
        payment.refunded,
        payment.answer_owed,
        payment.answered,
        *_attempt_row(payment.attempt),
        payment.delay,
        *_cause_row(payment.cause),
        payment.customer_id,
        payment.goods,
    )


def _attempt_row(attempt: Attempt | None) -> tuple[object, ...]:
    if attempt is None:
        return None, None, 0, 0, False, 0, None, None, None
    return (
        attempt.operation.kind,
        attempt.operation.refund_id,
        attempt.number,
        attempt.calls,
        attempt.in_doubt,
        attempt.looks,
        attempt.called_at,
        attempt.last_call_at,
        attempt.token,
    )


def _cause_row(cause: Cause | None) -> tuple[object, ...]:
    if cause is None:
        return None, None, None
    return cause.event_id, cause.correlation_id, cause.traceparent


async def _save_refunds(tx: Transaction, refunds: Sequence[tuple[Payment, Refund]]) -> None:
    """Add or settle refunds; an id that belongs to another order fails its own message."""
    if not refunds:
        return
    await tx.execute(
        """
        MERGE INTO refunds AS r
        USING unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[])
              AS n (order_id, refund_id, amount, status, code)
           ON r.refund_id = n.refund_id AND r.order_id = n.order_id
         WHEN MATCHED AND r.status <> n.status THEN
              UPDATE SET status = n.status, code = n.code, settled_at = now()
         WHEN NOT MATCHED THEN
              INSERT (order_id, refund_id, amount, status, code, settled_at)
              VALUES (n.order_id, n.refund_id, n.amount, n.status, n.code,
                      CASE WHEN n.status <> 'REQUESTED' THEN now() END)
        """,
        [payment.order_id for payment, _ in refunds],
        [refund.refund_id for _, refund in refunds],
        [refund.amount for _, refund in refunds],
        [refund.status for _, refund in refunds],
        [refund.code for _, refund in refunds],
    )
