"""Stock reconciled: what was counted against what the ledger and the reservations add up to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from inventory_service.domain.stockroom import Counts, MovementKind, total

Column = Literal["available", "reserved", "sold"]
COLUMNS: tuple[Column, ...] = ("available", "reserved", "sold")
Reason = Literal["movements_differ", "reservations_differ", "no_product"]


@dataclass(frozen=True, slots=True)
class Books:
    """All that is written of one product: its count, its movements, and what is held of it."""

    sku: str
    counted: Counts | None
    """Nothing means that there is no such product."""
    moved: Mapping[MovementKind, int]
    held: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A count that is not what it should be, and against what."""

    sku: str
    column: Column
    expected: int
    found: int
    reason: Reason


def reconcile(books: Books) -> Iterator[Difference]:
    """Find each count that its movements do not explain, and holds that nobody has."""
    expected, found = total(books.moved), books.counted or Counts()
    reason: Reason = "movements_differ" if books.counted else "no_product"
    for column in COLUMNS:
        should, there = getattr(expected, column), getattr(found, column)
        if should != there:
            yield Difference(books.sku, column, should, there, reason)
    if books.held != found.reserved:
        yield Difference(books.sku, "reserved", books.held, found.reserved, "reservations_differ")
