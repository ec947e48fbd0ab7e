"""What holds after every step, and what holds once all is quiet."""

from __future__ import annotations

from collections import Counter

from inventory_service.domain.stockroom import Counts, MovementKind, ReservationState
from order_service.domain import Health, Order, Status
from order_service.domain.order import FULFILLED
from payment_service.domain.payment import Wanted

from tests.model.world import World

_TOLD = {
    Status.REJECTED: "rejected",
    Status.EXPIRED: "expired",
    Status.CANCELLED: "cancelled",
    Status.COMPLETED: "confirmed",
}


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
        assert counts == Counts(available, reserved, moved[MovementKind.COMMITTED])


def check_money(world: World) -> None:
    """Charge an order at most once, never more than its total, and give back no more than that."""
    for order in world.orders.orders.values():
        charges = world.provider.charges(order.order_id)
        assert len(charges) <= 1, charges
        for charge in charges:
            assert charge.amount == order.total
            assert charge.amount_received in {0, order.total}
            assert world.provider.given_back(charge) <= charge.amount_received


def check_quiet(world: World) -> None:
    """Look whether every order is over, and all of its ends are tied."""
    assert not any(
        service.parked or service.skipped or service.outbox for service in world.services
    )
    for order in world.orders.orders.values():
        assert order.is_settled, order
        assert order.saga is not Health.STUCK
        _check_stock_of(world, order)
        _check_money_of(world, order)
        assert (order.order_id, _TOLD[order.status], "") in world.notices.notices


def _check_stock_of(world: World, order: Order) -> None:
    reservation = world.stock.reservations[order.order_id]
    if order.status in FULFILLED:
        assert reservation.state is ReservationState.COMMITTED
    else:
        assert reservation.state not in {ReservationState.HELD, ReservationState.COMMITTED}
        assert reservation.state is not ReservationState.AWAITED
        assert not any(line.held for line in reservation.lines)


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
