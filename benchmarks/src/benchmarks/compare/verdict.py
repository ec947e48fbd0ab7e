"""The judge after each run: every order charged once, told once, and its stock taken once."""

import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path

import asyncpg
from invariants.mail import Reader

from benchmarks.driver import LoadError
from benchmarks.rig import SKUS, STOCK

ORDER = re.compile(rb"^X-(?:Pedido-)?Order: (\S+)", re.MULTILINE)
ARRIVED = re.compile(rb"^X-Arrived: (\d+)", re.MULTILINE)
"""The mail sink's own first line: nanoseconds."""
NANOSECONDS = 1e9


class Letters:
    """The e-mails about some orders that came after a moment."""

    def __init__(self, folder: Path, since: int, orders: Collection[str]) -> None:
        """Look into the mail sink's folder."""
        self._reader = Reader(folder)
        self._since = since
        self._orders = frozenset(orders)
        self.told: Counter[str] = Counter()
        self.last = 0.0
        """When the first e-mail about the last order came, in seconds of the wall clock."""

    def look(self) -> Counter[str]:
        """Read on, the oldest first; answers what has come so far."""
        for letter in self._reader.unread():
            arrived, found = ARRIVED.match(letter), ORDER.search(letter)
            if arrived is None or found is None or int(arrived[1]) < self._since:
                continue
            if (order := found[1].decode()) in self._orders:
                if order not in self.told:
                    self.last = int(arrived[1]) / NANOSECONDS
                self.told[order] += 1
        return self.told

    def judge(self) -> int:
        """Refuse a run with a customer who was told nothing; answer how many e-mails came again.

        That some do is what at-least-once means; their Message-ID tells them apart.
        """
        self.look()
        require("customers who were told", len(self.told), len(self._orders))
        return self.told.total() - len(self.told)


async def judge(
    database: asyncpg.Connection, ledger: Path, amounts: Mapping[str, int], units: int
) -> None:
    """Refuse a run that lost or doubled anything; amounts are what each order must pay."""
    rows = await database.fetch("SELECT status, count(*) FROM orders GROUP BY status")
    require("orders", dict(map(tuple, rows)), {"COMPLETED": len(amounts)})
    charged(ledger, amounts)
    stock = await database.fetchrow(
        "SELECT sum(available)::bigint, sum(reserved)::bigint, min(available) >= 0 FROM stock"
    )
    require("stock", tuple(stock or ()), (len(SKUS) * STOCK - units, units, True))


def charged(ledger: Path, amounts: Mapping[str, int]) -> None:
    """Refuse unless the provider held and took each order's amount once."""
    wanted = Counter(
        (order, kind, amount)
        for order, amount in amounts.items()
        for kind in ("authorize", "capture")
    )
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as book:
        effects = book.execute("SELECT order_id, kind, amount FROM effects")
        found = Counter(effect for effect in effects if effect[0] in amounts)
    require("charges", found, wanted)


def require(what: str, found: object, wanted: object) -> None:
    """Raise LoadError unless both are the same."""
    if found != wanted:
        message = f"{what} are wrong: {_short(found, wanted)}"
        raise LoadError(message)


def _short(found: object, wanted: object) -> str:
    if isinstance(found, Counter) and isinstance(wanted, Counter):
        return f"{(wanted - found).total()} are missing, {(found - wanted).total()} are too many"
    return f"{found} instead of {wanted}"
