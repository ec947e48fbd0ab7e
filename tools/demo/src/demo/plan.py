"""What a run replays, decided before it begins: orders, cancellations, refunds, and the stock."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from zlib import crc32

from demo.invoices import Invoice, Product, Refusal

CancelKind = Literal["whole", "part", "nothing"]

DECLINED_PER_MILLE = 30
"""A few per cent of the payment methods decline, as in a real shop."""
DECLINES = ("insufficient_funds", "expired_card", "lost_card")

SCARCE_PER_MILLE = 15
"""With some twenty lines an order, more scarce products would reject most orders."""
SCARCE_SHARE = 0.7
"""How much there is of what all orders together want of a scarce product."""


PARTIAL_PER_MILLE = 500
"""Enough scarce products may be sold in part that some customers are asked."""
ACCEPTING_PER_MILLE = 700


@dataclass(frozen=True, slots=True)
class Order:
    """An invoice as an order to be placed."""

    number: str
    account: str
    items: tuple[tuple[str, int], ...]
    """Line by line: the same sku on several lines is the service's to merge."""
    payment_method: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """A cancellation of one whole order that was placed before it."""

    number: str
    order: str
    account: str


@dataclass(frozen=True, slots=True)
class Refund:
    """A cancellation of a part: what comes back of an order is refunded and restocked."""

    number: str
    order: str
    pieces: tuple[tuple[str, int], ...]
    """sku and quantity"""


Step: TypeAlias = Order | Cancel


@dataclass(frozen=True, slots=True)
class Stocked:
    """A product with the stock that it begins with."""

    product: Product
    stock: int
    is_ordered: bool
    """Whether this run orders it: if not, what an earlier run left is enough."""
    allow_partial: bool = False


@dataclass(slots=True)
class Plan:
    """A run, in the order in which it happened."""

    steps: list[Step] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    """After the steps: what comes back was delivered first."""
    catalogue: list[Stocked] = field(default_factory=list)
    refused: Counter[Refusal] = field(default_factory=Counter)
    empty: int = 0
    """Invoices of which no line can be ordered."""
    cancellations: Counter[CancelKind] = field(default_factory=Counter)

    @property
    def orders(self) -> list[Order]:
        return [step for step in self.steps if isinstance(step, Order)]

    @property
    def accounts(self) -> list[str]:
        """Whoever orders, in the order of their first order."""
        return list(dict.fromkeys(order.account for order in self.orders))


def plan(history: Iterable[Invoice], orders: int) -> Plan:
    """Replay the first so many orders, and whatever was cancelled meanwhile."""
    draft = _Draft()
    for invoice in history:
        draft.learn(invoice)
        if len(draft.wanted_by) < orders:
            draft.replay(invoice)
    return draft.finished()


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    plan: Plan = field(default_factory=Plan)
    products: dict[str, Product] = field(default_factory=dict)
    volumes: Counter[str] = field(default_factory=Counter)
    wanted_by: dict[str, Invoice] = field(default_factory=dict)
    """Order → its invoice."""
    undoable: defaultdict[str, list[Invoice]] = field(default_factory=lambda: defaultdict(list))
    """Customer → what a cancellation of theirs may undo."""
    left: dict[str, Counter[str]] = field(default_factory=dict)
    """Order → what of it has not come back yet."""

    def learn(self, invoice: Invoice) -> None:
        """Keep each product's first price and first description, and how many were ever sold."""
        for line, product in zip(invoice.lines, invoice.products, strict=True):
            self.volumes[line.sku] += line.quantity
            known = self.products.setdefault(product.sku, product)
            if product.name and not known.name:
                self.products[product.sku] = Product(known.sku, product.name, known.pence)

    def replay(self, invoice: Invoice) -> None:
        """Add an invoice to the steps, or count why it is none."""
        if invoice.cancels:
            self._cancel(invoice)
            return
        self.plan.refused += invoice.refused
        if not invoice.lines:
            self.plan.empty += 1
            return
        self.plan.steps.append(_order(invoice))
        self.wanted_by[invoice.number] = invoice
        if invoice.customer:
            self.undoable[invoice.customer].append(invoice)
            self.left[invoice.number] = Counter(invoice.pieces)

    def _cancel(self, cancellation: Invoice) -> None:
        """Find the newest invoice of the same customer that this one undoes, whole or in part."""
        newest_first = self.undoable[cancellation.customer][::-1]
        undone = Counter({sku: -quantity for sku, quantity in cancellation.pieces.items()})
        for invoice in newest_first:
            if self.left[invoice.number] == invoice.pieces == undone:
                self.undoable[cancellation.customer].remove(invoice)
                self.plan.steps.append(Cancel(cancellation.number, invoice.number, invoice.account))
                self.plan.cancellations["whole"] += 1
                return
        for invoice in newest_first:
            if undone <= self.left[invoice.number] and (back := _ordered(undone, invoice)):
                self.left[invoice.number] -= undone
                self.plan.refunds.append(Refund(cancellation.number, invoice.number, back))
                self.plan.cancellations["part"] += 1
                return
        self.plan.cancellations["nothing"] += 1

    def finished(self) -> Plan:
        """Stock the shop for what is going to be ordered."""
        wanted: Counter[str] = Counter()
        for invoice in self.wanted_by.values():
            for line in invoice.lines:
                wanted[line.sku] += line.quantity
        self.plan.catalogue = [
            Stocked(
                product,
                _stock(sku, wanted[sku], self.volumes[sku]),
                sku in wanted,
                allow_partial=is_sold_in_part(sku),
            )
            for sku, product in self.products.items()
        ]
        return self.plan


def _ordered(undone: Counter[str], invoice: Invoice) -> tuple[tuple[str, int], ...]:
    """Leave out what was on the invoice and could not be ordered."""
    skus = {line.sku for line in invoice.lines}
    return tuple((sku, quantity) for sku, quantity in undone.items() if sku in skus)


def _order(invoice: Invoice) -> Order:
    items = tuple((line.sku, line.quantity) for line in invoice.lines)
    return Order(invoice.number, invoice.account, items, payment_method(invoice.number))


def payment_method(number: str) -> str:
    """Choose by the invoice's number alone, so that every run declines the same."""
    draw = crc32(number.encode())
    if draw % 1000 >= DECLINED_PER_MILLE:
        return "pm_card_visa"
    return f"pm_declined_{DECLINES[draw // 1000 % len(DECLINES)]}"


def is_scarce(sku: str) -> bool:
    return crc32(sku.encode()) % 1000 < SCARCE_PER_MILLE


def is_sold_in_part(sku: str) -> bool:
    # The upper digits: the lower ones choose what is scarce.
    return crc32(sku.encode()) // 1000 % 1000 < PARTIAL_PER_MILLE


def accepts(number: str) -> bool:
    """Tell whether a customer takes less than was ordered, by the invoice's number alone."""
    return crc32(number.encode()) // 1000 % 1000 < ACCEPTING_PER_MILLE


def _stock(sku: str, wanted: int, volume: int) -> int:
    """Stock what the replayed orders want, of a scarce product less, of others what was sold."""
    if not wanted:
        return volume
    return int(wanted * SCARCE_SHARE) if is_scarce(sku) else wanted
