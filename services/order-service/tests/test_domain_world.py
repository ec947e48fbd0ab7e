"""Order-service among participants that behave: whatever the order of deliveries, it ends well."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from common.message import Event, Outcome, Received, Said, uuid7
from hypothesis import given, settings
from hypothesis import strategies as st
from order_service.consumers import DECISIONS
from order_service.domain import (
    CancelOrder,
    Health,
    Order,
    Orders,
    Patience,
    Payment,
    Status,
    Stock,
    cancel,
    expire,
    opened,
)
from order_service.domain.order import CANCELLABLE, OPEN
from order_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    StockCommitted,
    StockRejected,
    StockReleased,
    StockReserved,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOTAL = Money(amount=2208, currency="GBP")
CLOSINGS = (OrderRejected, OrderExpired, OrderCancelRequested)


@dataclass
class Inventory:
    """Reserves, commits and releases as inventory promises to, also what comes out of order."""

    has_stock: bool
    state: str = "new"

    def hear(self, event: Event, order_id: UUID) -> list[Event]:
        if isinstance(event, CLOSINGS):
            self.state = "closed"
            return [StockReleased(order_id=order_id, closing=True)]
        if isinstance(event, OrderPlaced) and self.state == "new":
            self.state = "held" if self.has_stock else "closed"
            reserved = StockReserved(order_id=order_id)
            short = StockRejected(order_id=order_id, reason="insufficient_stock")
            return [reserved if self.has_stock else short]
        if isinstance(event, OrderConfirmed) and self.state == "held":
            self.state = "committed"
            return [StockCommitted(order_id=order_id)]
        return []


@dataclass
class Till:
    """Authorises, captures and gives back as payment promises to."""

    authorises: bool
    captures: bool
    heard: set[str] = field(default_factory=set)
    state: str = "new"

    def hear(self, event: Event, order_id: UUID) -> list[Event]:
        self.heard.add(type(event).__name__)
        if isinstance(event, CLOSINGS):
            return self._close(order_id)
        if self.state == "new" and {"OrderPlaced", "StockReserved"} <= self.heard:
            self.state = "authorised" if self.authorises else "declined"
            authorised = PaymentAuthorized(order_id=order_id)
            declined = PaymentDeclined(order_id=order_id, code="insufficient_funds")
            return [authorised if self.authorises else declined]
        if self.state == "authorised" and "OrderConfirmed" in self.heard:
            self.state = "captured" if self.captures else "failed"
            failed = PaymentCaptureFailed(order_id=order_id, code="expired")
            return [PaymentCaptured(order_id=order_id, amount=TOTAL) if self.captures else failed]
        return []

    def _close(self, order_id: UUID) -> list[Event]:
        captured, self.state = self.state == "captured", "closed"
        if not captured:
            return [PaymentVoided(order_id=order_id, closing=True)]
        return [
            PaymentRefunded(
                order_id=order_id, refund_id=uuid7(), amount=TOTAL, cumulative=TOTAL, closing=True
            )
        ]


@dataclass
class World:
    """The order and its participants, joined by topics that have no order between them."""

    inventory: Inventory
    till: Till
    order: Order
    said: list[Event] = field(default_factory=list)
    links: dict[str, deque[Event]] = field(
        default_factory=lambda: {
            name: deque()
            for name in ("order>inv", "order>pay", "inv>pay", "inv>order", "pay>order")
        }
    )

    def say(self, events: list[Event]) -> None:
        """Carry what order-service says to both of the others."""
        self.said += events
        for event in events:
            self.links["order>inv"].append(event)
            self.links["order>pay"].append(event)

    def deliver(self, link: str, *, twice: bool) -> None:
        """Hand the next event of a topic to its consumer, once more if told so."""
        event = self.links[link].popleft()
        for _ in range(2 if twice and link.endswith("order") else 1):
            self._take(link, event)

    def _take(self, link: str, event: Event) -> None:
        order_id = self.order.order_id
        if link == "order>inv":
            answers = self.inventory.hear(event, order_id)
            self.links["inv>order"].extend(answers)
            self.links["inv>pay"].extend(answers)
        elif link.endswith("pay"):
            self.links["pay>order"].extend(self.till.hear(event, order_id))
        else:
            self._decide(event)

    def _decide(self, event: Event) -> None:
        orders = Orders([self.order], now=NOW, patience=Patience())
        outcome: Any = DECISIONS[type(event)](orders, event)
        if not isinstance(outcome, Outcome):
            return
        said = [Said(each) for each in outcome.events if isinstance(each, Event)]
        orders.apply(heard(event), outcome.changes, said)
        self.order = orders.get(self.order.order_id)
        self.say([each.event for each in said if isinstance(each.event, Event)])

    def act(self, event: Event) -> None:
        """Let something from outside happen to the order."""
        orders = Orders([self.order], now=NOW, patience=Patience())
        orders.record(self.order.order_id, [Said(event)])
        self.order = orders.get(self.order.order_id)
        self.say([event])


def heard(event: Event) -> Received:
    return Received(event, uuid7(), event.key().encode(), event.TOPIC, 0, 0, NOW, "c")


def begun(*, has_stock: bool, authorises: bool, captures: bool) -> World:
    placed = OrderPlaced(
        order_id=uuid7(),
        customer_id=uuid7(),
        lines=(OrderLine(line_no=1, sku="85123A", quantity=1, unit_price=TOTAL),),
        total=TOTAL,
        payment_method="pm_ok",
        deadline_at=NOW + timedelta(minutes=15),
    )
    world = World(
        Inventory(has_stock), Till(authorises=authorises, captures=captures), opened(placed, NOW)
    )
    world.say([placed])
    return world


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_comes_first_the_order_ends_once_and_nothing_is_held_in_vain(
    data: st.DataObject,
) -> None:
    flag = st.booleans()
    world = begun(has_stock=data.draw(flag), authorises=data.draw(flag), captures=data.draw(flag))
    while moves := [name for name, queue in world.links.items() if queue]:
        move = data.draw(st.sampled_from([*moves, *moves, "cancel", "deadline"]))
        if move == "cancel":
            if world.order.status in CANCELLABLE:
                command = CancelOrder(world.order.order_id, "customer", world.order.customer_id)
                world.act(cancel(world.order, command))
        elif move == "deadline":
            if world.order.status in OPEN:
                world.act(expire(world.order))
        else:
            world.deliver(move, twice=data.draw(flag))

    assert_settled(world)


def assert_settled(world: World) -> None:
    order = world.order
    assert order.is_settled, order
    said = Counter(type(event).__name__ for event in world.said)
    assert max(said.values()) == 1, said
    closings = [event for event in world.said if isinstance(event, CLOSINGS)]
    if order.status is Status.COMPLETED:
        assert (order.stock, order.payment) == (Stock.COMMITTED, Payment.CAPTURED)
        assert not closings
        assert order.saga is Health.COMPLETED
    else:
        assert len(closings) == 1
        assert order.saga is Health.COMPENSATED
        assert (world.inventory.state, world.till.state) in {
            ("closed", "closed"),
            ("closed", "declined"),
        }
        assert order.amount_captured == order.amount_refunded
