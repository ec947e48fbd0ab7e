"""I1, I7 and I8: what was accepted became one order each, and each walked a legal path."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from invariants.report import Finding, counted
from invariants.sources import Connection, SourceError

GOOD_ENDS = frozenset({"COMPLETED", "SHIPPED", "DELIVERED"})
BAD_ENDS = frozenset({"REJECTED", "EXPIRED", "CANCELLED"})

UNSETTLED = """
    SELECT order_id, status, saga, reason FROM orders.orders
    WHERE NOT (status = ANY('{COMPLETED,SHIPPED,DELIVERED}')
               OR status = ANY('{REJECTED,EXPIRED,CANCELLED}') AND saga = 'COMPENSATED')
"""

MOVES: Mapping[tuple[str, str], str] = {
    ("", "OrderPlaced"): "PENDING",
    ("PENDING", "StockPartiallyReserved"): "ACTION_REQUIRED",
    ("ACTION_REQUIRED", "OrderLinesAmended"): "PENDING",
    ("PENDING", "OrderConfirmed"): "CONFIRMED",
    ("PENDING", "OrderRejected"): "REJECTED",
    ("PENDING", "OrderExpired"): "EXPIRED",
    ("ACTION_REQUIRED", "OrderExpired"): "EXPIRED",
    ("PENDING", "OrderCancelRequested"): "CANCELLING",
    ("ACTION_REQUIRED", "OrderCancelRequested"): "CANCELLING",
    ("CONFIRMED", "OrderCancelRequested"): "CANCELLING",
    ("COMPLETED", "OrderCancelRequested"): "CANCELLING",
    ("CONFIRMED", "OrderCompleted"): "COMPLETED",
    ("CANCELLING", "OrderCancelled"): "CANCELLED",
    ("COMPLETED", "OrderShipped"): "SHIPPED",
    ("SHIPPED", "OrderDelivered"): "DELIVERED",
    # money goes back, and the order stays what it is
    ("COMPLETED", "RefundRequested"): "COMPLETED",
    ("SHIPPED", "RefundRequested"): "SHIPPED",
    ("DELIVERED", "RefundRequested"): "DELIVERED",
    # a closing whose answer is overdue is said again, under a new id
    ("REJECTED", "OrderRejected"): "REJECTED",
    ("EXPIRED", "OrderExpired"): "EXPIRED",
    ("CANCELLING", "OrderCancelRequested"): "CANCELLING",
    # what a confirmed order is owed is asked for again, by an operator
    ("CONFIRMED", "OrderConfirmed"): "CONFIRMED",
}
"""(status, event) → status: the only moves that there are."""

DECISIVE = frozenset(event for _, event in MOVES) - {"StockPartiallyReserved"}
"""Events that order-service says itself: each must be a move. What others say may come late."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One 202 in the client's own log."""

    order_id: UUID
    principal: UUID
    key: str
    body: str


def read_client_log(path: Path | None) -> list[Answer]:
    """Read the log's lines; raises SourceError with the line that is not one."""
    if path is None:
        return []
    answers = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            entry = json.loads(line)
            answers.append(
                Answer(
                    UUID(entry["order_id"]),
                    UUID(entry["principal"]),
                    entry["key"],
                    entry["body_sha"],
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            message = f"{path}:{number} is no answer of the client's log: {error!r}"
            raise SourceError(message) from error
    return answers


async def check_settled(db: Connection, answers: Sequence[Answer]) -> Finding:
    """I1: nothing accepted is missing, nothing is left half done."""
    orders = await db.fetchval("SELECT count(*) FROM orders.orders")
    lost = await db.fetch(
        """SELECT wanted.order_id FROM unnest($1::uuid[]) AS wanted(order_id)
           LEFT JOIN orders.orders USING (order_id) WHERE orders.status IS NULL""",
        list({answer.order_id for answer in answers}),
    )
    promised = await db.fetch(
        """SELECT order_id FROM orders.idempotency_keys LEFT JOIN orders.orders USING (order_id)
           WHERE idempotency_keys.status = 202 AND order_id IS NOT NULL
             AND orders.status IS NULL"""
    )
    unsettled = await db.fetch(UNSETTLED)
    return Finding.of(
        "I1",
        "every 202 has exactly one order, and every order is settled",
        checked=f"{counted(orders, 'order')}, {counted(len(answers), 'logged 202')}",
        violations=[
            *(f"order {row['order_id']} was answered 202 and does not exist" for row in lost),
            *(f"order {row['order_id']} has a stored 202 and no row" for row in promised),
            *(
                f"order {row['order_id']} is {row['status']}/{row['saga']}"
                + (f" ({row['reason']})" if row["reason"] else "")
                for row in unsettled
            ),
        ],
        notes=["" if answers else "no client's log given: stored answers were used instead"],
    )


async def check_keys(db: Connection, answers: Sequence[Answer]) -> Finding:
    """I7: a key stands for one order, and says the same each time."""
    shared = await db.fetch(
        """SELECT order_id, count(*) FROM orders.idempotency_keys
           WHERE order_id IS NOT NULL AND route LIKE '%/orders'
           GROUP BY order_id HAVING count(*) > 1"""
    )
    keys = await db.fetchval("SELECT count(*) FROM orders.idempotency_keys")
    return Finding.of(
        "I7",
        "one order per (principal, idempotency key); the same body gets the same answer",
        checked=f"{counted(keys, 'key')}, {counted(len(answers), 'logged 202')}",
        violations=[
            *(f"order {row['order_id']} was made under {row['count']} keys" for row in shared),
            *_contradictions(answers),
        ],
    )


def _contradictions(answers: Sequence[Answer]) -> list[str]:
    first: dict[tuple[UUID, str], Answer] = {}
    found = []
    for answer in answers:
        before = first.setdefault((answer.principal, answer.key), answer)
        if before.body != answer.body:
            found.append(f"key {answer.key!r} was accepted with two bodies")
        elif before.order_id != answer.order_id:
            found.append(f"key {answer.key!r} made {before.order_id} and {answer.order_id}")
    return found


async def check_transitions(db: Connection) -> Finding:
    """I8: fold each order's history; the result must be what its row says."""
    rows = await db.fetch(
        """SELECT order_id, orders.status, array_agg(type ORDER BY events.version) AS types,
                  array_agg(events.version ORDER BY events.version) AS versions
           FROM orders.orders LEFT JOIN orders.order_events events USING (order_id)
           GROUP BY order_id"""
    )
    violations = [
        f"order {row['order_id']}: {problem}"
        for row in rows
        if (problem := _illegal(row["status"], row["types"], row["versions"]))
    ]
    events = sum(len(row["types"]) for row in rows)
    return Finding.of(
        "I8",
        "only legal transitions; terminal states absorb",
        checked=f"{counted(events, 'event')} of {counted(len(rows), 'order')}",
        violations=violations,
    )


def _illegal(
    status: str, types: Sequence[str | None], versions: Sequence[int | None]
) -> str | None:
    if list(versions) != list(range(1, len(versions) + 1)):
        return f"its history has the versions {versions}"
    at = ""
    for name in types:
        move = MOVES.get((at, name or ""))
        if move is None and name in DECISIVE:
            return f"{name} in status {at or 'none'}"
        at = move or at
    return None if at == status else f"its history ends in {at}, its row says {status}"
