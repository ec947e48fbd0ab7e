"""What merchants' systems are told of an order's life: ids and amounts, nothing of a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, get_args
from uuid import UUID

import orjson
from common.message import Event

from notification_service.messages import (
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

EventType: TypeAlias = Literal[
    "order.placed",
    "order.action_required",
    "order.amended",
    "order.confirmed",
    "order.completed",
    "order.shipped",
    "order.delivered",
    "order.rejected",
    "order.expired",
    "order.cancelled",
    "order.refunded",
    "order.payment_reversed",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to an order; no two of an order have the same type and subject."""

    order_id: UUID
    type: EventType
    occurred_at: datetime
    data: Mapping[str, Any]
    subject: str = ""

    @property
    def payload(self) -> str:
        """Write it as it is sent, byte for byte: the signature is over these."""
        timestamp = self.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds")
        document = {
            "type": self.type,
            "timestamp": timestamp.replace("+00:00", "Z"),
            "data": {"orderId": str(self.order_id), **self.data},
        }
        return orjson.dumps(document).decode()


def _nothing_more(_event: Event) -> dict[str, Any]:
    return {}


def _reason(event: OrderRejected | OrderExpired | OrderCancelled) -> dict[str, Any]:
    return {"reason": event.reason}


def _goods(event: OrderPlaced | OrderLinesAmended) -> dict[str, Any]:
    return {"lines": _lines(event.lines), "total": _money(event.total)}


def _placed(event: OrderPlaced) -> dict[str, Any]:
    return {"customerId": str(event.customer_id), **_goods(event)}


def _given_back(event: LatePaymentReversed) -> dict[str, Any]:
    return {"amount": _money(event.amount)}


def _refunded(event: PaymentRefunded) -> dict[str, Any]:
    return {"refundId": str(event.refund_id), "amount": _money(event.amount)}


def _lines(lines: Sequence[OrderLine]) -> list[dict[str, Any]]:
    return [
        {"sku": line.sku, "quantity": line.quantity, "unitPrice": _money(line.unit_price)}
        for line in lines
    ]


def _money(money: Money) -> dict[str, Any]:
    return {"amount": money.amount, "currency": money.currency}


_READINGS: Mapping[type[Event], tuple[EventType, Callable[[Any], dict[str, Any]]]] = {
    OrderPlaced: ("order.placed", _placed),
    StockPartiallyReserved: ("order.action_required", _nothing_more),
    OrderLinesAmended: ("order.amended", _goods),
    OrderConfirmed: ("order.confirmed", _nothing_more),
    OrderCompleted: ("order.completed", _nothing_more),
    OrderShipped: ("order.shipped", _nothing_more),
    OrderDelivered: ("order.delivered", _nothing_more),
    OrderRejected: ("order.rejected", _reason),
    OrderExpired: ("order.expired", _reason),
    OrderCancelled: ("order.cancelled", _reason),
    PaymentRefunded: ("order.refunded", _refunded),
    LatePaymentReversed: ("order.payment_reversed", _given_back),
}


def happening_of(event: Event, occurred_at: datetime) -> Happening | None:
    """Read an event as merchants are told of it, if they are."""
    found = _READINGS.get(type(event))
    if found is None:
        return None
    name, read = found
    subject = str(event.refund_id) if isinstance(event, PaymentRefunded) else ""
    return Happening(UUID(event.key()), name, occurred_at, read(event), subject)
