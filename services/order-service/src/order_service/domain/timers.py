"""When an order's timers are due, and what is said when one fires."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from order_service.domain.order import (
    CLOSED,
    Health,
    Order,
    Patience,
    Payment,
    Status,
    Stock,
)
from order_service.messages import (
    Closing,
    Code,
    OrderCancelRequested,
    OrderExpired,
    OrderRejected,
)


class SagaStuck(BaseModel):
    """The saga waits for something that did not come; kept in the history, told to no topic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: Code


def reschedule(before: Order, after: Order, *, at: datetime, patience: Patience) -> None:
    """Stamp what was reached, and set the timers of what the order waits for now."""
    _stamp(before, after, at)
    if before.status is not after.status:
        _schedule_decision(before, after, at=at, patience=patience)
    _schedule_completion(before, after, at=at, patience=patience)
    _schedule_answer(before, after, at=at, patience=patience)


def expire(order: Order) -> OrderExpired:
    """End an order that was not confirmed, or not decided on, in time."""
    waited_for_customer = order.status is Status.ACTION_REQUIRED
    return OrderExpired(
        order_id=order.order_id,
        customer_id=order.customer_id,
        reason="decision_expired" if waited_for_customer else "deadline_passed",
        by="system",
    )


def close_again(order: Order, now: datetime, patience: Patience) -> Closing | SagaStuck:
    """Say the closing again while an answer is overdue, and give up after long enough."""
    if order.closing_since is None or now < order.closing_since + patience.compensation:
        return closing_of(order)
    return SagaStuck(reason=_missing_answer(order))


def miss_completion(order: Order) -> SagaStuck:
    """Name what a confirmed order waits for in vain."""
    if order.payment is Payment.CAPTURED:
        return SagaStuck(reason="stock_not_committed")
    committed = order.stock is Stock.COMMITTED
    return SagaStuck(reason="payment_not_captured" if committed else "completion_overdue")


def closing_of(order: Order) -> Closing:
    """Make the event that closed this order, once more."""
    said = {
        "order_id": order.order_id,
        "customer_id": order.customer_id,
        "reason": order.reason,
        "by": order.closed_by,
    }
    if order.status is Status.REJECTED:
        return OrderRejected.model_validate(said)
    if order.status is Status.EXPIRED:
        return OrderExpired.model_validate(said)
    return OrderCancelRequested.model_validate(said)


def _missing_answer(order: Order) -> str:
    if order.stock_closed:
        failed = any(note.startswith("refund_failed:") for note in order.noted)
        return "refund_failed" if failed else "payment_unanswered"
    return "stock_unanswered" if order.payment_closed else "closing_unanswered"


def _stamp(before: Order, after: Order, at: datetime) -> None:
    if before.is_settled != after.is_settled:
        after.settled_at = at if after.is_settled else None
    if before.status is after.status:
        return
    if after.status is Status.CONFIRMED:
        after.confirmed_at = at
    elif after.status is Status.COMPLETED:
        after.completed_at = at


def _schedule_decision(before: Order, after: Order, *, at: datetime, patience: Patience) -> None:
    if after.status is Status.ACTION_REQUIRED:
        after.own_deadline_at = after.deadline_at
        after.deadline_at = min(after.deadline_at, at + patience.decision)
    elif before.own_deadline_at is not None:
        after.deadline_at, after.own_deadline_at = before.own_deadline_at, None


def _schedule_completion(before: Order, after: Order, *, at: datetime, patience: Patience) -> None:
    waits = after.status is Status.CONFIRMED and after.saga is Health.RUNNING
    if not waits:
        after.stuck_at = None
    elif before.status is not after.status or before.saga is not after.saga:
        after.stuck_at = at + patience.completion


def _schedule_answer(before: Order, after: Order, *, at: datetime, patience: Patience) -> None:
    if after.status not in CLOSED or after.saga is not Health.COMPENSATING:
        after.closing_due_at = None
        return
    if before.status not in CLOSED or after.closing_since is None:
        after.closing_since = at
    elif before.closing_attempts == after.closing_attempts:
        return
    delay = patience.answer * 2**after.closing_attempts
    after.closing_due_at = min(at + delay, after.closing_since + patience.compensation)
