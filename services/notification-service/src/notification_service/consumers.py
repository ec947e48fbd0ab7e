"""DECISIONS: notification's part of the saga as a table; it only listens to the outcome."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from common.database import Transaction
from common.deciding import Subscription
from common.message import Decisions, Event, Received, StateRecord

from notification_service.domain import notices
from notification_service.domain.notices import Desk
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
from notification_service.store import customers as customer_store
from notification_service.store import deliveries as delivery_store
from notification_service.store import notices as notice_store
from notification_service.store.deliveries import WEBHOOK_BELL
from notification_service.store.letters import SENDING_BELL

DECISIONS: Decisions[Desk] = {
    OrderPlaced: notices.address,
    OrderLinesAmended: notices.amend,
    StockPartiallyReserved: notices.ask_to_decide,
    OrderConfirmed: notices.tell_confirmed,
    OrderRejected: notices.tell_rejected,
    OrderExpired: notices.tell_expired,
    OrderCancelled: notices.tell_cancelled,
    OrderCompleted: notices.tell_nobody,
    OrderShipped: notices.tell_shipped,
    OrderDelivered: notices.tell_nobody,
    PaymentRefunded: notices.tell_refunded,
    LatePaymentReversed: notices.tell_reversed,
}


_OWING = tuple(DECISIONS.keys() - {OrderPlaced, OrderLinesAmended, OrderCompleted, OrderDelivered})
"""What a customer is told of, once: whether they are told already has to be known."""


async def _load(tx: Transaction, batch: Sequence[Received]) -> Desk:
    return await notice_store.load_desk(
        tx,
        placed=_orders_of(batch, OrderPlaced),
        amended=_orders_of(batch, OrderLinesAmended),
        owed=_orders_of(batch, *_OWING),
    )


def _orders_of(batch: Sequence[Received], *kinds: type[Event]) -> list[UUID]:
    return [UUID(message.event.key()) for message in batch if isinstance(message.event, kinds)]


async def _save(tx: Transaction, desk: Desk) -> None:
    if desk.new_orders:
        await notice_store.add_orders(tx, desk.new_orders)
    if desk.new_amendments:
        await notice_store.add_amendments(tx, desk.new_amendments)
    if desk.new_notices:
        await notice_store.add_notices(tx, desk.new_notices)
    if desk.new_notices:
        tx.ring(SENDING_BELL)
    if desk.happened:
        await delivery_store.add_deliveries(tx, desk.happened)
        tx.ring(WEBHOOK_BELL)


async def _save_customers(tx: Transaction, records: Sequence[StateRecord]) -> None:
    new = await customer_store.save_customers(tx, records)
    if new:
        await notice_store.add_notices(tx, [notices.welcome(each) for each in new])
    tx.ring(SENDING_BELL)


STATES: Mapping[type[Event], Callable[[Transaction, Sequence[StateRecord]], Awaitable[None]]] = {
    CustomerChanged: _save_customers
}

SUBSCRIPTION: Subscription[Desk] = Subscription(
    group="notification-service",
    decisions=DECISIONS,
    load=_load,
    save=_save,
    states=STATES,
    unhurried=True,
)
