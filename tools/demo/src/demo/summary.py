"""What came of a run, read from where it happened: databases, mail sink, the verdict."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from invariants.mail import read_mail
from invariants.sources import Sources

MINOR_UNITS = 100
"""The data's only currency is the pound."""
PERCENTILES = (50, 95, 99, 100)


@dataclass(frozen=True, slots=True)
class Facts:
    """The run's own orders, and no others that the stack may hold."""

    statuses: Counter[tuple[str, str]]
    """(status, reason) → orders."""
    to_confirmed: Sequence[float]
    """Seconds from OrderPlaced to OrderConfirmed, of each order that got there."""
    seconds: float
    """From the first order placed to the last one settled."""
    refunds: Mapping[tuple[str, str], tuple[int, str]]
    """(state, reason) → refunds, and what they add up to."""
    mails: Counter[str]
    """Kind → e-mails at the sink."""


async def read_facts(sources: Sources, orders: Sequence[UUID]) -> Facts:
    """Read what became of these orders."""
    db = await asyncpg.connect(sources.database_url)
    try:
        statuses = await db.fetch(
            """SELECT status, coalesce(reason, '') AS reason, count(*) FROM orders.orders
               WHERE order_id = ANY($1::uuid[]) GROUP BY 1, 2""",
            orders,
        )
        confirmed = await db.fetch(
            """SELECT extract(epoch FROM done.occurred_at - placed.occurred_at)::float AS seconds
               FROM orders.order_events placed JOIN orders.order_events done USING (order_id)
               WHERE order_id = ANY($1::uuid[])
                 AND placed.type = 'OrderPlaced' AND done.type = 'OrderConfirmed'""",
            orders,
        )
        refunds = await db.fetch(
            """SELECT state, reason, currency, count(*), sum(amount)::bigint AS amount
               FROM orders.refunds WHERE order_id = ANY($1::uuid[]) GROUP BY 1, 2, 3""",
            orders,
        )
        seconds = await db.fetchval(
            """SELECT extract(epoch FROM max(settled_at) - min(created_at))::float
               FROM orders.orders WHERE order_id = ANY($1::uuid[])""",
            orders,
        )
    finally:
        await db.close()
    ours = {str(order_id) for order_id in orders}
    return Facts(
        statuses=Counter({(row["status"], row["reason"]): row["count"] for row in statuses}),
        to_confirmed=[row["seconds"] for row in confirmed],
        seconds=seconds or 0.0,
        refunds={
            (row["state"], row["reason"]): (
                row["count"],
                f"{row['amount'] / MINOR_UNITS:,.2f} {row['currency']}",
            )
            for row in refunds
        },
        mails=Counter(mail.key[1] for mail in read_mail(sources.mail) if mail.key[0] in ours),
    )


def percentiles(values: Iterable[float]) -> dict[int, float]:
    """Pick the value at each percentile, by nearest rank; nothing of nothing."""
    ordered = sorted(values)
    if not ordered:
        return {}
    return {
        percent: ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in PERCENTILES
    }
