"""Four services, their topics and the provider, and what people and clocks do to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from common.errors import Refusal
from common.message import Event, Said, uuid7
from inventory_service.consumers import DECISIONS as INVENTORY
from inventory_service.domain import products
from inventory_service.domain.products import AddProduct, AdjustStock
from inventory_service.domain.stockroom import Stockroom
from inventory_service.messages import Money as StockMoney
from notification_service.consumers import DECISIONS as NOTIFICATION
from order_service import domain
from order_service.consumers import DECISIONS as ORDER
from order_service.domain import (
    CancelOrder,
    Choice,
    DecideOrder,
    Order,
    Placed,
    PlaceOrder,
    Product,
    RequestRefund,
    ReturnedLine,
    SagaRetried,
    SagaStuck,
)
from order_service.domain.order import CANCELLABLE, FULFILLED, Health, Status
from order_service.messages import (
    Money,
    OrderLine,
    OrderLinesAmended,
    PaymentVoided,
    RefundRequested,
    StockReleased,
)
from payment_service.consumers import DECISIONS as PAYMENT
from payment_service.domain.answers import Errand

from tests.model.charging import LOOKS, Till
from tests.model.mail import Mail
from tests.model.orders import PATIENCE, OrderRows
from tests.model.participant import Participant
from tests.model.provider import Mood, Provider
from tests.model.rows import NoticeRows, PaymentRows, StockRows
from tests.model.topics import PLACED_FROM_OUTSIDE, Stream, Topics

CATALOGUE = {
    sku: Product(sku, sku, Money(amount=price, currency="GBP"))
    for sku, price in {"85123A": 255, "71053": 339, "22752": 765}.items()
}
CUSTOMER = UUID(int=7)


class World:
    """Everything that is, with the real decisions in it."""

    def __init__(self, stock: int, partial: frozenset[str] = frozenset()) -> None:
        """Open a shop; of some products less may be sold than is ordered."""
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.topics = Topics()
        self.provider = Provider()
        self.orders, self.stock = OrderRows(), StockRows()
        self.payments, self.notices = PaymentRows(), NoticeRows()
        self.order = Participant("order", ORDER, self.orders, self.topics)
        self.inventory = Participant("inventory", INVENTORY, self.stock, self.topics)
        self.payment = Participant("payment", PAYMENT, self.payments, self.topics)
        self.notification = Participant("notification", NOTIFICATION, self.notices, self.topics)
        self.services = (self.order, self.inventory, self.payment, self.notification)
        self.mail = Mail(self.payments, self.provider.told)
        self.till = Till(self.payment, self.payments, self.provider, self.mail)
        self.partial = partial
        self.lines: dict[UUID, tuple[OrderLine, ...]] = {}
        """What is ordered, or what was taken of it."""
        self.refunds: list[RefundRequested] = []
        self.unheard: set[UUID] = set()
        """Orders with an answer to their closing that was thrown away."""
        for sku in CATALOGUE:
            self._fill(sku, stock)

    def _fill(self, sku: str, stock: int) -> None:
        price = StockMoney(amount=CATALOGUE[sku].price.amount, currency="GBP")
        command = AddProduct(
            sku=sku,
            name=sku,
            price=price,
            stock=stock,
            low_stock=1,
            allow_partial=sku in self.partial,
        )
        room = Stockroom(shelves={sku: products.add(command)})
        self.stock.shelves[sku] = products.add(command)
        for movement in products.fill(room.shelves[sku], command):
            room.fold(movement)
        self.stock.save(room)

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def place(self, command: PlaceOrder) -> None:
        now = self.tick()
        placed = domain.place(command, CATALOGUE, deadline_at=now + PATIENCE.deadline)
        assert isinstance(placed, Placed)
        said = Said(placed.event, cause=PLACED_FROM_OUTSIDE)
        first = domain.first_entry(placed.event, event_id=said.event_id, now=now)
        self.orders.add(placed.event, first, now)
        self.order.announce([said], now)
        self.lines[command.order_id] = placed.event.lines

    def cancellable(self) -> list[Order]:
        return [order for order in self.orders.orders.values() if order.status in CANCELLABLE]

    def cancel(self, order: Order) -> None:
        command = CancelOrder(order.order_id, "customer", order.customer_id)
        self.tick()
        self._happen(order, domain.cancel(order, command))

    def expire(self, order: Order) -> None:
        self.tick()
        self._happen(order, domain.expire(order))

    def undecided(self) -> list[Order]:
        return [o for o in self.orders.orders.values() if o.status is Status.ACTION_REQUIRED]

    def decide(self, order: Order, choice: Choice) -> None:
        """Let a customer take what there is, or leave it; who is too late finds it expired."""
        command = DecideOrder(order.order_id, choice, "customer", order.customer_id)
        lines = self.lines[order.order_id]
        try:
            event = domain.decide(order, command, lines=lines, now=self.tick())
        except Refusal:
            self.expire(order)
            return
        self._happen(order, event)
        if isinstance(event, OrderLinesAmended):
            self.lines[order.order_id] = event.lines

    def unanswered(self) -> list[Order]:
        return [order for order in self.orders.orders.values() if order.closing_due_at]

    def close_again(self, order: Order, *, at_last: bool) -> None:
        """Say a closing again, or give up waiting for its answers."""
        now = self.tick() + (PATIENCE.compensation if at_last else timedelta(0))
        self._happen(order, domain.close_again(order, now, PATIENCE))

    def incomplete(self) -> list[Order]:
        return [order for order in self.orders.orders.values() if order.stuck_at]

    def call_stuck(self, order: Order) -> None:
        self.tick()
        self._happen(order, domain.miss_completion(order))

    def _happen(self, order: Order, fact: Event | SagaStuck) -> None:
        """Let order-service say something of its own accord, as its handlers do."""
        orders = self.orders.lock([order.order_id], self.now)
        said: list[Said] = []
        if isinstance(fact, SagaStuck):
            orders.mark_stuck(order.order_id, fact, uuid7())
        else:
            said.append(Said(fact))
            orders.record(order.order_id, said)
        self.orders.save(orders)
        self.order.announce(said, self.now)

    def completed(self) -> list[Order]:
        return [o for o in self.orders.orders.values() if o.status is Status.COMPLETED]

    def ship(self, order: Order) -> None:
        """Let staff hand an order over: from then on it can't be cancelled."""
        self.tick()
        if (shipped := domain.ship(order)) is not None:
            self._happen(order, shipped)

    def refundable(self) -> list[Order]:
        return [order for order in self.orders.orders.values() if order.status in FULFILLED]

    def ask_refund(self, order: Order, amount: int, lines: int) -> None:
        """Let staff give back an amount, or one piece of some lines, if that much is left."""
        order = self.orders.orders[order.order_id]
        sold = self.lines[order.order_id]
        command = RequestRefund(
            refund_id=UUID(int=1000 + len(self.refunds)),
            order_id=order.order_id,
            by=CUSTOMER,
            reason="damaged",
            amount=None if lines else Money(amount=amount, currency=order.currency),
            lines=tuple(ReturnedLine(line.line_no, 1) for line in sold[:lines]),
            restock=bool(amount % 2),
        )
        refunds = self.orders.refunds_of(order.order_id)
        try:
            requested = domain.request_refund(order, command, sold=sold, refunds=refunds)
        except Refusal:
            return
        self._give_back(order, requested)

    def ask_too_much(self, order: Order, amount: int) -> None:
        """Ask payment for more than order-service would: it has a guard of its own."""
        requested = RefundRequested(
            order_id=order.order_id,
            refund_id=UUID(int=1000 + len(self.refunds)),
            amount=Money(amount=amount, currency=order.currency),
            lines=(),
        )
        self._give_back(order, requested)

    def _give_back(self, order: Order, requested: RefundRequested) -> None:
        self.tick()
        self.refunds.append(requested)
        self._happen(order, requested)

    def adjust(self, sku: str, quantity: int) -> None:
        """Let staff correct a count, if inventory takes it."""
        room = Stockroom(shelves=self.stock.lock([sku]))
        try:
            outcome = products.adjust(room, AdjustStock(sku, quantity, "recount"))
        except Refusal:
            return
        for change in outcome.changes:
            room.fold(change)
        self.stock.save(room)

    def relay(self) -> None:
        for service in self.services:
            service.relay()

    def discard_answer(self, stream: Stream) -> None:
        """Throw an answer to a closing away, if that comes next: it will have to be asked again."""
        record = self.order.next_of(stream)
        event = record.read_as(self.order.heard[record.type_name]).event
        if isinstance(event, StockReleased | PaymentVoided) and event.closing:
            self.order.ignore(stream)
            self.unheard.add(event.order_id)

    def ask_again(self) -> bool:
        """Let the timer, or an operator, see to an order whose answer was thrown away."""
        for order in self.orders.orders.values():
            if order.order_id in self.unheard and not order.is_settled:
                self.unheard.discard(order.order_id)
                if order.saga is Health.STUCK:
                    self._repair(order)
                else:
                    assert order.closing_due_at, "nobody would ask again"
                    self.close_again(order, at_last=False)
                return True
        return False

    def _repair(self, order: Order) -> None:
        repair, events = domain.retry(order, SagaRetried(by=CUSTOMER))
        orders = self.orders.lock([order.order_id], self.tick())
        said = [Said(event) for event in events]
        orders.note_repair(order.order_id, repair, uuid7())
        orders.record(order.order_id, said)
        self.orders.save(orders)
        self.order.announce(said, self.now)

    def lose_sight(self, errand: Errand, *, closed: bool) -> None:
        """Look twice in vain for a charge that is on its way, its order being closed meanwhile."""
        order_id = errand.order_id
        self.till.call(errand, Mood.LATE)
        self._settle_all(order_id)
        if closed and (order := self.orders.orders[order_id]) in self.cancellable():
            self.cancel(order)
        self.relay()
        for stream in self.payment.waiting():
            self.payment.take([self.payment.next_of(stream)], self.tick())
            self.payment.offsets[stream] += 1
        for _ in range(LOOKS):
            if order_id in self.till.due():
                self.till.call(self.till.lease(order_id, self.now, key_is_old=True), Mood.ANSWERS)
                self._settle_all(order_id)

    def _settle_all(self, order_id: UUID) -> None:
        for report in list(self.till.reports):
            if report.order_id == order_id:
                self.till.settle(report, self.tick())

    def rebuild_payment(self) -> None:
        """Lose payment's database, and read all topics from the beginning."""
        self.payments.payments.clear()
        self.payments.due.clear()
        self.mail.counted.clear()
        self.mail.forgetful = True
        self.payment.rewind()
        self.payment.inbox.clear()

    def rebuild_notification(self) -> None:
        """Lose notification's database, and read all topics from the beginning."""
        self.notices = self.notification.rows = NoticeRows()
        self.notification.rewind()
        self.notification.inbox.clear()

    def rebuild_inventory(self, stock: int) -> None:
        """Lose inventory's database, count the shelves, and read all topics from the beginning."""
        self.stock = self.inventory.rows = StockRows()
        for sku in CATALOGUE:
            self._fill(sku, stock)
        self.inventory.rewind()
        self.inventory.inbox.clear()
