"""I3 and I4: the gateway's own ledger against the orders, to the penny."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from invariants.history import BAD_ENDS, GOOD_ENDS
from invariants.report import Finding, counted
from invariants.sources import Connection, SourceError

EFFECTS = """
    SELECT effects.order_id,
      sum(kind = 'authorize'), sum(kind = 'capture'), sum(kind = 'cancel'),
      max(CASE kind WHEN 'authorize' THEN effects.amount ELSE 0 END),
      sum(CASE kind WHEN 'capture' THEN effects.amount ELSE 0 END),
      sum(CASE kind WHEN 'refund' THEN effects.amount ELSE 0 END),
      upper(min(currency)), upper(max(currency))
    FROM effects LEFT JOIN intents ON intents.id = effects.intent_id
    WHERE effects.order_id IS NOT NULL GROUP BY effects.order_id
"""


@dataclass(frozen=True, slots=True)
class Charges:
    """All that the gateway did for one order."""

    authorisations: int
    captures: int
    cancels: int
    authorised: int
    captured: int
    refunded: int
    currency: str
    other_currency: str

    @property
    def holds_money(self) -> bool:
        return self.authorisations > self.captures + self.cancels


NOTHING = Charges(0, 0, 0, 0, 0, 0, "", "")


def read_ledger(path: Path) -> dict[str, Charges]:
    """Sum the gateway's effects by order; raises SourceError if the file is no ledger."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger:
            rows = ledger.execute(EFFECTS).fetchall()
    except sqlite3.Error as error:
        message = f"GATEWAY_LEDGER names {path}, which is no gateway's ledger ({error})"
        raise SourceError(message) from error
    return {order_id: Charges(*sums) for order_id, *sums in rows}


async def read_orders(db: Connection) -> dict[str, asyncpg.Record]:
    rows = await db.fetch(
        """SELECT order_id, status, total, currency, amount_refunded,
                  (SELECT coalesce(sum(amount), 0)::bigint FROM orders.refunds
                   WHERE refunds.order_id = orders.order_id AND state = 'SUCCEEDED') AS given_back
           FROM orders.orders"""
    )
    return {str(row["order_id"]): row for row in rows}


async def strangers(db: Connection, ledger: Mapping[str, Charges]) -> set[str]:
    """Find charges for payments that we know, of orders that we do not."""
    rows = await db.fetch(
        """SELECT order_id FROM payments.payments LEFT JOIN orders.orders USING (order_id)
           WHERE orders.status IS NULL AND order_id = ANY($1::uuid[])""",
        [UUID(order_id) for order_id in ledger],
    )
    return {str(row["order_id"]) for row in rows}


def check_charges(
    ledger: Mapping[str, Charges], orders: Mapping[str, asyncpg.Record], unknown: set[str]
) -> Finding:
    """I3: one charge an order at most, of what the order costs."""
    known = {order_id: charges for order_id, charges in ledger.items() if order_id in orders}
    elsewhere = len(ledger) - len(known) - len(unknown)
    return Finding.of(
        "I3",
        "at most one successful charge per order; amount and currency equal the order's",
        checked=f"{counted(len(known), 'order')} in the gateway's ledger",
        violations=[
            *(f"order {order_id} was charged and does not exist" for order_id in sorted(unknown)),
            *(
                f"order {order_id}: {problem}"
                for order_id, charges in known.items()
                if (problem := _mischarged(charges, orders[order_id]))
            ),
        ],
        notes=[f"{counted(elsewhere, 'order')} of other databases left out" if elsewhere else ""],
    )


def _mischarged(charges: Charges, order: asyncpg.Record) -> str | None:
    if charges.captures > 1 or charges.authorisations > 1:
        return f"authorised {charges.authorisations} times, captured {charges.captures} times"
    if not {charges.currency, charges.other_currency} <= {order["currency"]}:
        return f"charged in {charges.currency}, ordered in {order['currency']}"
    amounts = {charges.authorised} | ({charges.captured} if charges.captures else set())
    if amounts != {order["total"]}:
        return f"charged {sorted(amounts)}, ordered for {order['total']}"
    return None


def check_books(ledger: Mapping[str, Charges], orders: Mapping[str, asyncpg.Record]) -> Finding:
    """I4: who got the goods paid for them; who did not paid nothing."""
    ended = {
        order_id: order
        for order_id, order in orders.items()
        if order["status"] in GOOD_ENDS | BAD_ENDS
    }
    return Finding.of(
        "I4",
        "settled good: captured = total and refunded = amountRefunded;"
        " settled bad: captured = refunded and nothing held;"
        " either: the refunds that succeeded = amountRefunded",
        checked=f"{counted(len(ended), 'ended order')} against the gateway's ledger",
        violations=[
            f"order {order_id} is {order['status']}: {problem}"
            for order_id, order in ended.items()
            if (problem := _misbooked(ledger.get(order_id, NOTHING), order))
        ],
    )


def _misbooked(charges: Charges, order: asyncpg.Record) -> str | None:
    if charges.holds_money:
        return f"{charges.authorised} is still held"
    if order["given_back"] != order["amount_refunded"]:
        return f"its refunds are {order['given_back']}, amountRefunded {order['amount_refunded']}"
    if order["status"] in BAD_ENDS:
        same = charges.captured == charges.refunded
        return None if same else f"captured {charges.captured}, refunded {charges.refunded}"
    if charges.captured != order["total"]:
        return f"captured {charges.captured} of {order['total']}"
    if charges.refunded != order["amount_refunded"]:
        return f"refunded {charges.refunded}, our books say {order['amount_refunded']}"
    return None
