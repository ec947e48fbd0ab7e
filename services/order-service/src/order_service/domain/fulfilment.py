"""After its completion an order is shipped and delivered: steps that staff takes, each once."""

from __future__ import annotations

from http import HTTPStatus

from common.errors import Refusal

from order_service.domain.order import Order, Status
from order_service.messages import OrderDelivered, OrderShipped


def ship(order: Order) -> OrderShipped | None:
    """Hand a completed order over; of one that is shipped already there is nothing to say."""
    if not _moves(order, Status.COMPLETED, Status.SHIPPED):
        return None
    return OrderShipped(order_id=order.order_id, customer_id=order.customer_id, by="staff")


def deliver(order: Order) -> OrderDelivered | None:
    """End a shipped order's way; of one that is delivered already there is nothing to say."""
    if not _moves(order, Status.SHIPPED, Status.DELIVERED):
        return None
    return OrderDelivered(order_id=order.order_id, customer_id=order.customer_id, by="staff")


def _moves(order: Order, begin: Status, end: Status) -> bool:
    """Tell whether the step is still to be taken; refuse one that is out of turn."""
    if order.status not in {begin, end}:
        detail = f"only an order that is {begin.lower()} is {end.lower()}; this is {order.status}"
        raise Refusal("invalid_state", detail, status=HTTPStatus.CONFLICT)
    return order.status is begin
