"""The real invoices as they were written: read in file order, each line judged on its own."""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import as_file, files
from typing import Literal, TypeAlias

Row: TypeAlias = dict[str, str]
Refusal = Literal["no code", "no sku", "price 0", "quantity not above 0"]

CANCELLATION = "C"
PENNY = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be ordered."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Product:
    """A product as an invoice line names it."""

    sku: str
    name: str
    pence: int


@dataclass(slots=True)
class Invoice:
    """One invoice: what can be ordered of it, and why the rest can't."""

    number: str
    customer: str
    """Empty for a guest."""
    lines: list[Line] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    refused: Counter[Refusal] = field(default_factory=Counter)
    pieces: Counter[str] = field(default_factory=Counter)
    """sku → quantity over all lines, the refused ones too: what a cancellation must undo."""

    @property
    def cancels(self) -> bool:
        return self.number.startswith(CANCELLATION)

    @property
    def account(self) -> str:
        """Whose invoice it is: a customer's, or a guest account of its own."""
        return f"customer-{self.customer}" if self.customer else f"guest-{self.number}"

    def add(self, row: Row) -> None:
        """Take a line in, or count why not."""
        sku, quantity, pence = _sku(row), int(row["Quantity"]), _pence(row)
        self.pieces[sku] += quantity
        if (reason := _refusal(sku, quantity, pence)) is not None:
            self.refused[reason] += 1
            return
        self.lines.append(Line(sku, quantity))
        self.products.append(Product(sku, row["Description"].strip(), pence))


def _sku(row: Row) -> str:
    # the shop wrote the same code in either case
    return row["StockCode"].strip().upper()


def _pence(row: Row) -> int:
    pounds = Decimal(row["UnitPrice"]).quantize(PENNY, rounding=ROUND_HALF_UP)
    return int(pounds * 100)


def _refusal(sku: str, quantity: int, pence: int) -> Refusal | None:
    if not sku:
        return "no code"
    if " " in sku:
        return "no sku"
    if quantity <= 0:
        return "quantity not above 0"
    return "price 0" if pence <= 0 else None


def read_rows() -> Iterator[Row]:
    """Read the lines of the data that comes with this package."""
    with (
        as_file(files("demo") / "data" / "online-retail.csv.gz") as path,
        gzip.open(path, "rt", encoding="utf-8", newline="") as file,
    ):
        yield from csv.DictReader(file)


def invoices(rows: Iterable[Row]) -> list[Invoice]:
    """Gather lines into invoices, in the order of their first lines."""
    found: dict[str, Invoice] = {}
    for row in rows:
        number = row["InvoiceNo"]
        if number not in found:
            found[number] = Invoice(number, row["CustomerID"])
        found[number].add(row)
    return list(found.values())
