"""Which notices a customer is owed, decided from events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from uuid import UUID

from common.message import Outcome, Received, Said, Stale

from notification_service.domain.happenings import Happening, happening_of
from notification_service.messages import (
    AskedLine,
    Kind,
    LatePaymentReversed,
    Money,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderDelivered,
    OrderExpired,
    OrderLine,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentRefunded,
    StockPartiallyReserved,
)

NoticeKey: TypeAlias = tuple[UUID | None, str, str]
"""What a message is about: no two messages say the same."""


@dataclass(frozen=True, slots=True)
class Order:
    """Whom an order's messages go to, and what it is."""

    order_id: UUID
    customer_id: UUID
    lines: tuple[OrderLine, ...]
    total: Money

    def cut_to(self, offer: Iterable[AskedLine]) -> "Order":
        """Show of it what is offered, for what that costs."""
        prices = {line.sku: line.unit_price for line in self.lines}
        lines = tuple(
            OrderLine(sku=line.sku, quantity=line.available, unit_price=prices[line.sku])
            for line in offer
            if line.available and line.sku in prices
        )
        total = sum(line.quantity * line.unit_price.amount for line in lines)
        return replace(self, lines=lines, total=Money(amount=total, currency=self.total.currency))


@dataclass(frozen=True, slots=True)
class Amendment:
    """What an order became when its customer took a part of it; it may be known first."""

    order_id: UUID
    lines: tuple[OrderLine, ...]
    total: Money


@dataclass(frozen=True, slots=True)
class Notice:
    """One message that a customer is owed.

    About an order, or about a customer: then there is no order, and the subject is the customer.
    """

    order_id: UUID | None
    kind: Kind
    subject: str = ""
    reason: str = ""
    money: Money | None = None
    offer: tuple[AskedLine, ...] = ()
    """What there is of an order that is short."""

    @property
    def key(self) -> NoticeKey:
        return self.order_id, self.kind, self.subject

    @property
    def message_id(self) -> str:
        """Name the message by what it says, so that a second delivery is seen to be one."""
        return f"<{self.order_id or '-'}.{self.kind}.{self.subject or '-'}@pedido>"

    @property
    def customer_id(self) -> UUID | None:
        """Whom it goes to, where no order says so."""
        return UUID(self.subject) if self.order_id is None else None


@dataclass(slots=True)
class Desk:
    """What is known of a batch's orders, and what the batch adds."""

    orders: set[UUID] = field(default_factory=set)
    amended: set[UUID] = field(default_factory=set)
    notices: set[NoticeKey] = field(default_factory=set)
    merchants_listen: bool = True
    """Whether any endpoint is there to be told of what happens."""
    new_orders: list[Order] = field(default_factory=list)
    new_amendments: list[Amendment] = field(default_factory=list)
    new_notices: list[Notice] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)

    def apply(
        self,
        message: Received,
        changes: tuple[object, ...],
        said: Sequence[Said],  # noqa: ARG002
    ) -> None:
        """Fold one decision in, and remember what merchants are told of it."""
        if self.merchants_listen:
            happening = happening_of(message.event, message.occurred_at)
            if happening is not None:
                self.happened.append(happening)
        for change in changes:
            if isinstance(change, Order):
                self.orders.add(change.order_id)
                self.new_orders.append(change)
            elif isinstance(change, Amendment):
                self.amended.add(change.order_id)
                self.new_amendments.append(change)
            elif isinstance(change, Notice):
                self.notices.add(change.key)
                self.new_notices.append(change)


def address(desk: Desk, placed: OrderPlaced) -> Outcome | Stale:
    """Note whom to write to; notices that came first wait for it."""
    if placed.order_id in desk.orders:
        return Stale("the order is known already")
    return Outcome((Order(placed.order_id, placed.customer_id, placed.lines, placed.total),))


def amend(desk: Desk, order: OrderLinesAmended) -> Outcome | Stale:
    """Note what the order is from now on, whether or not it is known what it was."""
    if order.order_id in desk.amended:
        return Stale("amended already")
    return Outcome((Amendment(order.order_id, order.lines, order.total),))


def _owe(desk: Desk, notice: Notice) -> Outcome | Stale:
    if notice.key in desk.notices:
        return Stale("the customer is told of this already")
    return Outcome((notice,))


def welcome(customer_id: UUID) -> Notice:
    """Greet a new customer, once for ever."""
    return Notice(None, "welcome", str(customer_id))


def ask_to_decide(desk: Desk, short: StockPartiallyReserved) -> Outcome | Stale:
    return _owe(desk, Notice(short.order_id, "decide", offer=short.lines))


def tell_confirmed(desk: Desk, confirmed: OrderConfirmed) -> Outcome | Stale:
    return _owe(desk, Notice(confirmed.order_id, "confirmed"))


def tell_rejected(desk: Desk, rejected: OrderRejected) -> Outcome | Stale:
    return _owe(desk, Notice(rejected.order_id, "rejected", reason=rejected.reason))


def tell_expired(desk: Desk, expired: OrderExpired) -> Outcome | Stale:
    return _owe(desk, Notice(expired.order_id, "expired", reason=expired.reason))


def tell_cancelled(desk: Desk, cancelled: OrderCancelled) -> Outcome | Stale:
    return _owe(desk, Notice(cancelled.order_id, "cancelled", reason=cancelled.reason))


def tell_shipped(desk: Desk, shipped: OrderShipped) -> Outcome | Stale:
    return _owe(desk, Notice(shipped.order_id, "shipped"))


def tell_nobody(_desk: Desk, _event: OrderCompleted | OrderDelivered) -> Outcome | Stale:
    """Leave the customer in peace: merchants alone are told."""
    return Outcome()


def tell_refunded(desk: Desk, refunded: PaymentRefunded) -> Outcome | Stale:
    """Tell of each refund once, also of the one that a closing makes."""
    subject = str(refunded.refund_id)
    return _owe(desk, Notice(refunded.order_id, "refunded", subject, money=refunded.amount))


def tell_reversed(desk: Desk, late: LatePaymentReversed) -> Outcome | Stale:
    return _owe(desk, Notice(late.order_id, "reversed", money=late.amount))
