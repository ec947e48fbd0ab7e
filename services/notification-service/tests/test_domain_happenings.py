import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from common.message import Event
from notification_service.consumers import DECISIONS
from notification_service.domain.happenings import EVENT_TYPES, happening_of
from notification_service.messages import (
    CustomerChanged,
    LatePaymentReversed,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderDelivered,
    OrderExpired,
    OrderLinesAmended,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentRefunded,
    StockPartiallyReserved,
)

ORDER = "0198f3a0-0001-7000-8000-000000000001"
CUSTOMER = "0198f3a0-0002-7000-8000-000000000002"
REFUND = "0198f3a0-0003-7000-8000-000000000003"
MONEY = {"amount": 1530, "currency": "GBP"}
LINES = [{"sku": "85123A", "quantity": 6, "unit_price": {"amount": 255, "currency": "GBP"}}]
LINES_OUT = [{"sku": "85123A", "quantity": 6, "unitPrice": {"amount": 255, "currency": "GBP"}}]
NOON = datetime(2026, 11, 27, 12, 0, 0, 123456, tzinfo=UTC)

STORIES: list[tuple[type[Event], dict[str, Any], str, dict[str, Any]]] = [
    (
        OrderPlaced,
        {"customer_id": CUSTOMER, "lines": LINES, "total": MONEY},
        "order.placed",
        {"customerId": CUSTOMER, "lines": LINES_OUT, "total": MONEY},
    ),
    (StockPartiallyReserved, {"lines": []}, "order.action_required", {}),
    (
        OrderLinesAmended,
        {"lines": LINES, "total": MONEY},
        "order.amended",
        {"lines": LINES_OUT, "total": MONEY},
    ),
    (OrderConfirmed, {}, "order.confirmed", {}),
    (OrderCompleted, {}, "order.completed", {}),
    (OrderShipped, {}, "order.shipped", {}),
    (OrderDelivered, {}, "order.delivered", {}),
    (OrderRejected, {"reason": "stock"}, "order.rejected", {"reason": "stock"}),
    (OrderExpired, {"reason": "deadline"}, "order.expired", {"reason": "deadline"}),
    (OrderCancelled, {"reason": "by_customer"}, "order.cancelled", {"reason": "by_customer"}),
    (
        PaymentRefunded,
        {"refund_id": REFUND, "amount": MONEY},
        "order.refunded",
        {"refundId": REFUND, "amount": MONEY},
    ),
    (LatePaymentReversed, {"amount": MONEY}, "order.payment_reversed", {"amount": MONEY}),
]


@pytest.mark.parametrize(("event", "fields", "name", "data"), STORIES, ids=str)
def test_an_event_is_told_in_camel_case_with_ids_and_amounts(
    event: type[Event], fields: dict[str, Any], name: str, data: dict[str, Any]
) -> None:
    heard = event.model_validate_json(json.dumps({"order_id": ORDER, **fields}))

    happening = happening_of(heard, NOON.astimezone(timezone(timedelta(hours=2))))

    assert happening is not None
    assert json.loads(happening.payload) == {
        "type": name,
        "timestamp": "2026-11-27T12:00:00.123Z",
        "data": {"orderId": ORDER, **data},
    }


def test_every_type_is_told_of_and_every_event_that_is_heard_is_told() -> None:
    assert {name for _, _, name, _ in STORIES} == set(EVENT_TYPES)
    assert {event for event, _, _, _ in STORIES} == set(DECISIONS)


def test_nobody_is_told_of_a_customer() -> None:
    customer = CustomerChanged(
        customer_id=UUID(CUSTOMER), name="Ada", email="ada@example.com", language="en"
    )

    assert happening_of(customer, NOON) is None
