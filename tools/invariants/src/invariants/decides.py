"""The checker's own table of who decides on what, so that a service that goes deaf is found out."""

from collections.abc import Mapping

HEARD: Mapping[str, Mapping[str, frozenset[str]]] = {
    "inventory-service": {
        "orders.v1": frozenset(
            {
                "OrderPlaced",
                "OrderLinesAmended",
                "OrderConfirmed",
                "OrderRejected",
                "OrderExpired",
                "OrderCancelRequested",
                "RefundRequested",
            }
        ),
    },
    "payment-service": {
        "orders.v1": frozenset(
            {
                "OrderPlaced",
                "OrderLinesAmended",
                "OrderConfirmed",
                "OrderRejected",
                "OrderExpired",
                "OrderCancelRequested",
                "RefundRequested",
            }
        ),
        "inventory.v1": frozenset({"StockReserved", "StockPartiallyReserved"}),
    },
    "order-service": {
        "inventory.v1": frozenset(
            {
                "StockReserved",
                "StockPartiallyReserved",
                "StockRejected",
                "StockCommitted",
                "StockReleased",
            }
        ),
        "payments.v1": frozenset(
            {
                "PaymentAuthorized",
                "PaymentDeclined",
                "PaymentCaptured",
                "PaymentCaptureFailed",
                "PaymentVoided",
                "PaymentRefunded",
                "RefundFailed",
                "LatePaymentReversed",
            }
        ),
    },
    "notification-service": {
        "orders.v1": frozenset(
            {
                "OrderPlaced",
                "OrderLinesAmended",
                "OrderConfirmed",
                "OrderRejected",
                "OrderExpired",
                "OrderCancelled",
                "OrderCompleted",
                "OrderShipped",
                "OrderDelivered",
            }
        ),
        "inventory.v1": frozenset({"StockPartiallyReserved"}),
        "payments.v1": frozenset({"PaymentRefunded", "LatePaymentReversed"}),
    },
}

STATE_TOPICS: Mapping[str, tuple[str, ...]] = {
    "order-service": ("catalog.v1",),
    "notification-service": ("customers.v1",),
}

SCHEMAS: Mapping[str, str] = {
    "order-service": "orders",
    "inventory-service": "inventory",
    "payment-service": "payments",
    "notification-service": "notifications",
}
"""Each service's Postgres schema."""

EVENT_TOPICS = ("orders.v1", "inventory.v1", "payments.v1", "notifications.v1")
"""State topics are compacted, so counting them proves nothing."""
