"""What holds after every step, and what holds once all is quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

from common.message import Event
from inventory_service.domain.stockroom import Counts, MovementKind, ReservationState
from inventory_service.messages import StockReleased
from order_service.domain import Health, Order, RefundFact, RefundState, fold_refunds
from order_service.domain.order import FULFILLED
from order_service.messages import RefundFailed as RefundFailureNoted
from order_service.messages import StockReleased as StockNoted
from payment_service.domain.payment import Have, Wanted
from payment_service.messages import PaymentRefunded, RefundFailed

from tests.model.topics import Record
from tests.model.world import World

E = TypeVar("E", bound=Event)

_TOLD = {
    "StockPartiallyReserved": "decide",
    "OrderConfirmed": "confirmed",
    "OrderRejected": "rejected",
    "OrderExpired": "expired",
    "OrderCancelled": "cancelled",
    "OrderShipped": "shipped",
    "PaymentRefunded": "refunded",
    "LatePaymentReversed": "reversed",
}
"""The customer is told of each of these, and of nothing else."""

_CLOSINGS = {"OrderRejected", "OrderExpired", "OrderCancelRequested"}

_AFTERWARDS = {"PaymentVoided", "PaymentRefunded", "RefundFailed", "LatePaymentReversed"}
"""All that payment may still say once it has said that nothing is held."""


def check_stock(world: World) -> None:
    """Count every piece: none is lost, made up, or promised twice."""
    held: Counter[str] = Counter()
    for reservation in world.stock.reservations.values():
        if reservation.state is ReservationState.HELD:
            for line in reservation.lines:
                held[line.sku] += line.held
    for sku, shelf in world.stock.shelves.items():
        available, reserved, sold = counts = shelf.counts
        moved = world.stock.moved(sku)
        came = sum(moved[k] for k in ("initial", MovementKind.ADJUSTED, MovementKind.RESTOCKED))
        assert min(counts) >= 0, (sku, counts)
        assert came == available + reserved + sold, (sku, counts, moved)
        assert reserved == held[sku], (sku, counts, held)
        gone = moved[MovementKind.COMMITTED] - moved[MovementKind.UNSOLD]
        assert counts == Counts(available, reserved, gone)
        assert moved[MovementKind.RESTOCKED] <= sold, (sku, counts, moved)


def check_money(world: World) -> None:
    """Charge an order at most once, never more than its total, and give back no more than that.

    Once payment has said that it holds nothing, it holds nothing, but for what came too late.
    """
    for order in world.orders.orders.values():
        charges = world.provider.charges(order.order_id)
        payment = world.payments.payments.get(order.order_id)
        assert len(charges) <= 1, charges
        for charge in charges:
            assert charge.amount == order.total
            assert charge.amount_received in {0, order.total}
            assert world.provider.given_back(charge) <= charge.amount_received
            if payment and payment.answered and charge.id not in world.till.came_late:
                assert not world.provider.holds(charge), charge


def check_quiet(world: World) -> None:
    """Look whether every order is over, and all of its ends are tied."""
    assert not any(
        service.parked or service.skipped or service.outbox for service in world.services
    )
    for order in world.orders.orders.values():
        assert order.is_settled, order
        assert order.saga is not Health.STUCK
        _check_stock_of(world, order)
        _check_lines_of(world, order)
        _check_money_of(world, order)
        _check_refunds_of(world, order)
        _check_what_inventory_said(world, order)
        _check_what_payment_said(world, order)
        _check_notices(world, order)


def check_rebuilt(world: World) -> None:
    """Look whether a participant that lost its database found the way back to what it had."""
    for order in world.orders.orders.values():
        assert order.is_settled, order
        _check_stock_of(world, order)
        _check_lines_of(world, order)
        payment = world.payments.payments[order.order_id]
        charges = world.provider.charges(order.order_id)
        assert payment.attempt is None
        if order.status in FULFILLED:
            assert payment.have in {Have.CAPTURED, Have.REFUNDED}
            assert payment.captured == order.total
        else:
            assert not any(world.provider.holds(charge) for charge in charges)


def _check_stock_of(world: World, order: Order) -> None:
    reservation = world.stock.reservations[order.order_id]
    if order.status in FULFILLED:
        assert reservation.state is ReservationState.COMMITTED
    else:
        assert reservation.state not in {ReservationState.HELD, ReservationState.COMMITTED}
        assert reservation.state is not ReservationState.AWAITED
        assert not any(line.held for line in reservation.lines)


def _check_lines_of(world: World, order: Order) -> None:
    """See that a good order is for exactly what was sold, and costs what its lines cost."""
    lines = world.lines[order.order_id]
    assert order.total == sum(line.quantity * line.unit_price.amount for line in lines)
    if order.status in FULFILLED:
        sold = world.stock.reservations[order.order_id].lines
        assert [(line.line_no, line.sku, line.quantity) for line in sold] == [
            (line.line_no, line.sku, line.quantity) for line in lines
        ]


def _check_money_of(world: World, order: Order) -> None:
    payment = world.payments.payments[order.order_id]
    charges = world.provider.charges(order.order_id)
    captured = sum(charge.amount_received for charge in charges)
    refunded = sum(world.provider.given_back(charge) for charge in charges)
    assert payment.attempt is None
    assert (payment.captured, payment.refunded) == (captured, refunded)
    assert (order.amount_captured, order.amount_refunded) == (captured, refunded)
    assert not any(charge.status == "requires_capture" for charge in charges)
    if order.status in FULFILLED:
        assert captured == order.total
    else:
        assert payment.wanted is Wanted.CLOSED
        assert captured == refunded


def _check_refunds_of(world: World, order: Order) -> None:
    """See that each refund ended, and that those that succeeded are what the order counts."""
    refunds = world.orders.refunds_of(order.order_id)
    facts = world.orders.histories[order.order_id]
    written = [(each.fact, each.recorded_at) for each in facts if isinstance(each.fact, RefundFact)]
    assert not [each for each in refunds if each.state is RefundState.REQUESTED]
    succeeded = (each.amount for each in refunds if each.state is RefundState.SUCCEEDED)
    assert sum(succeeded) == order.amount_refunded
    assert list(fold_refunds({}, written).values()) == refunds


def _check_what_inventory_said(world: World, order: Order) -> None:
    """See that a refund restocks once, a closing is answered, and each names what came back."""
    records = world.topics.of("inventory.v1", order.order_id)
    records = [record for record in records if record.type_name == "StockReleased"]
    released = _read(records, StockReleased)
    restocked = {event.refund_id for event in released if not event.closing}
    pairs = zip(records, released, strict=True)
    answered = {record.cause.event_id for record, event in pairs if event.closing}
    said = world.topics.of("orders.v1", order.order_id)
    closings = [record for record in said if record.type_name in _CLOSINGS]
    pieces = sum(line.quantity for event in released for line in event.lines)
    noted = _noted(world, order, StockNoted)
    assert restocked == _asked(world, order)
    assert restocked == {event.refund_id for event in noted if not event.closing}
    assert answered == {record.event_id for record in closings}
    assert len({record.type_name for record in closings}) <= 1
    assert pieces == world.stock.returned(order.order_id)


def _check_what_payment_said(world: World, order: Order) -> None:
    """See that each refund has one end, its money is counted, and late money is called late."""
    records = world.topics.of("payments.v1", order.order_id)
    names = [record.type_name for record in records]
    refunded = {e.refund_id: e.amount.amount for e in _read(records, PaymentRefunded)}
    failed = {event.refund_id for event in _read(records, RefundFailed)}
    by_closing = {event.refund_id for event in _read(records, PaymentRefunded) if event.closing}
    charges = world.provider.charges(order.order_id)
    assert not failed & set(refunded)
    assert failed == {event.refund_id for event in _noted(world, order, RefundFailureNoted)}
    assert failed | set(refunded) == _asked(world, order) | by_closing
    assert sum(refunded.values()) == sum(map(world.provider.given_back, charges))
    late = any(charge.id in world.till.came_late for charge in charges)
    assert ("LatePaymentReversed" in names) == late
    answers = [record for record in records if _answers(record)]
    if answers:
        assert set(names[records.index(answers[0]) :]) <= _AFTERWARDS, names


def _asked(world: World, order: Order) -> set[UUID | None]:
    return {refund.refund_id for refund in world.refunds if refund.order_id == order.order_id}


def _noted(world: World, order: Order, kind: type[E]) -> list[E]:
    """Read an order's own history, where nothing may be missing."""
    facts = (entry.fact for entry in world.orders.histories[order.order_id])
    return [fact for fact in facts if isinstance(fact, kind)]


def _answers(record: Record) -> bool:
    """Tell whether payment says that it holds nothing any more."""
    if record.type_name == "PaymentVoided":
        return True
    return any(event.closing for event in _read([record], PaymentRefunded))


def _read(records: Iterable[Record], kind: type[E]) -> list[E]:
    heard = (r.read_as(kind).event for r in records if r.type_name == kind.type_name())
    return [event for event in heard if isinstance(event, kind)]


def _check_notices(world: World, order: Order) -> None:
    """See that the customer is told of all that happened, and once."""
    said = world.topics.of("orders.v1", order.order_id)
    said += world.topics.of("inventory.v1", order.order_id)
    said += world.topics.of("payments.v1", order.order_id)
    owed = {(_TOLD[r.type_name], "") for r in said if r.type_name in _TOLD}
    owed.discard(("refunded", ""))
    owed |= {("refunded", str(event.refund_id)) for event in _read(said, PaymentRefunded)}
    told = {key[1:] for key in world.notices.notices if key[0] == order.order_id}
    assert told == owed
    known = world.notices.amendments.get(order.order_id) or world.notices.orders[order.order_id]
    assert known.total.amount == order.total
