from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from common.errors import Refusal
from order_service import domain
from order_service.domain import (
    Health,
    Order,
    Patience,
    Payment,
    SagaForced,
    SagaResolved,
    SagaRetried,
    Side,
    Status,
    Stock,
)
from order_service.domain.fold import evolve

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
OPERATOR = UUID(int=7)
PATIENCE = Patience()
CONFIRMED = {"status": Status.CONFIRMED, "confirmed_at": NOW}
CLOSING = {"reason": "out_of_stock", "closed_by": "system", "closing_since": NOW}


def order(saga: Health = Health.STUCK, **known: Any) -> Order:
    return Order(
        order_id=UUID(int=1),
        customer_id=UUID(int=2),
        total=849,
        currency="GBP",
        deadline_at=NOW + timedelta(minutes=15),
        created_at=NOW,
        updated_at=NOW,
        saga=saga,
        stuck_reason="closing_unanswered" if saga is Health.STUCK else None,
        **known,
    )


def after(start: Order, facts: tuple[Any, tuple[Any, ...]]) -> Order:
    repair, events = facts
    for fact in (repair, *events):
        start = evolve(start, fact, at=NOW + timedelta(hours=1), patience=PATIENCE)
    return start


@pytest.mark.parametrize(
    ("saga", "known", "facts"),
    [
        ("RUNNING", {}, [("StockReserved", "inventory-service")]),
        ("RUNNING", {"stock": Stock.RESERVED}, [("PaymentAuthorized", "payment-service")]),
        ("WAITING", {"status": Status.ACTION_REQUIRED}, [("decision", "customer")]),
        (
            "STUCK",
            CONFIRMED,
            [("StockCommitted", "inventory-service"), ("PaymentCaptured", "payment-service")],
        ),
        (
            "STUCK",
            CONFIRMED | {"stock": Stock.COMMITTED},
            [("PaymentCaptured", "payment-service")],
        ),
        (
            "COMPENSATING",
            CLOSING | {"status": Status.EXPIRED},
            [("StockReleased", "inventory-service"), ("PaymentVoided", "payment-service")],
        ),
        (
            "STUCK",
            CLOSING | {"status": Status.CANCELLING, "stock_closed": True, "amount_captured": 849},
            [("PaymentRefunded", "payment-service")],
        ),
        ("COMPLETED", {"status": Status.COMPLETED}, []),
        ("COMPENSATED", CLOSING | {"status": Status.REJECTED}, []),
    ],
    ids=[
        "just placed",
        "stock held",
        "customer decides",
        "confirmed",
        "stock committed",
        "expired",
        "money taken",
        "completed",
        "compensated",
    ],
)
def test_a_saga_waits_for_just_what_has_not_come(
    saga: str, known: dict[str, Any], facts: list[tuple[str, str]]
) -> None:
    waits = domain.awaited(order(Health(saga), **known))

    assert [(each.fact, each.source) for each in waits] == facts
    assert all(each.since == NOW for each in waits)


@pytest.mark.parametrize(
    ("known", "said", "saga"),
    [
        (CONFIRMED, "OrderConfirmed", Health.RUNNING),
        (CLOSING | {"status": Status.REJECTED}, "OrderRejected", Health.COMPENSATING),
        (CLOSING | {"status": Status.EXPIRED}, "OrderExpired", Health.COMPENSATING),
        (CLOSING | {"status": Status.CANCELLING}, "OrderCancelRequested", Health.COMPENSATING),
    ],
    ids=["confirmed", "rejected", "expired", "cancelling"],
)
def test_a_retry_says_again_what_is_owed_with_fresh_timers(
    known: dict[str, Any], said: str, saga: Health
) -> None:
    facts = domain.retry(order(**known), SagaRetried(by=OPERATOR))
    retried = after(order(**known), facts)

    assert [event.type_name() for event in facts[1]] == [said]
    assert (retried.saga, retried.stuck_reason) == (saga, None)
    assert retried.status is known["status"]
    due = retried.closing_due_at or retried.stuck_at
    assert due is not None
    assert due > NOW + timedelta(hours=1)


def test_a_forced_order_is_undone_by_the_services() -> None:
    facts = domain.force(order(**CONFIRMED), SagaForced(by=OPERATOR, note="never captured"))
    forced = after(order(**CONFIRMED), facts)

    assert (forced.status, forced.saga) == (Status.CANCELLING, Health.COMPENSATING)
    assert (forced.reason, forced.closed_by) == ("forced_by_operator", "staff")
    assert not forced.is_settled


@pytest.mark.parametrize("status", [Status.REJECTED, Status.EXPIRED, Status.CANCELLING])
def test_an_order_that_ends_already_is_not_forced(status: Status) -> None:
    with pytest.raises(Refusal, match="resolve it"):
        domain.force(order(**CLOSING, status=status), SagaForced(by=OPERATOR, note="over"))


@pytest.mark.parametrize(
    ("known", "settled", "end"),
    [
        (CONFIRMED | {"stock": Stock.COMMITTED}, (Side.MONEY,), Status.COMPLETED),
        (CONFIRMED | {"payment": Payment.CAPTURED}, (Side.STOCK,), Status.COMPLETED),
        (CLOSING | {"status": Status.REJECTED}, (Side.MONEY, Side.STOCK), Status.REJECTED),
        (
            CLOSING | {"status": Status.EXPIRED, "payment_closed": True},
            (Side.STOCK,),
            Status.EXPIRED,
        ),
        (
            CLOSING | {"status": Status.CANCELLING, "stock_closed": True},
            (Side.MONEY,),
            Status.CANCELLED,
        ),
    ],
    ids=["money taken", "stock sold", "rejected", "expired", "cancelling"],
)
def test_a_resolved_saga_ends_where_it_was_heading(
    known: dict[str, Any], settled: tuple[Side, ...], end: Status
) -> None:
    repair = SagaResolved(by=OPERATOR, note="settled at the provider", settled=settled)
    before = order(**known)
    resolved = after(before, domain.resolve(before, repair))

    assert (resolved.status, resolved.is_settled, resolved.stuck_reason) == (end, True, None)
    assert (resolved.stock, resolved.payment) == (before.stock, before.payment)


@pytest.mark.parametrize(
    "settled", [(), (Side.STOCK,), (Side.MONEY,)], ids=["nothing", "stock", "money"]
)
def test_a_saga_is_resolved_only_on_a_word_for_each_missing_answer(
    settled: tuple[Side, ...],
) -> None:
    stuck = order(**CLOSING, status=Status.REJECTED)

    with pytest.raises(Refusal, match="validation_failed") as refused:
        domain.resolve(stuck, SagaResolved(by=OPERATOR, note="done", settled=settled))

    assert "money, stock" in refused.value.errors[0].detail


@pytest.mark.parametrize("saga", sorted(set(Health) - {Health.STUCK}))
def test_only_a_stuck_saga_is_repaired(saga: Health) -> None:
    moving = order(saga, **CONFIRMED)

    with pytest.raises(Refusal, match="STUCK"):
        domain.retry(moving, SagaRetried(by=OPERATOR))
    with pytest.raises(Refusal, match="STUCK"):
        domain.force(moving, SagaForced(by=OPERATOR, note="n"))
    with pytest.raises(Refusal, match="STUCK"):
        domain.resolve(moving, SagaResolved(by=OPERATOR, note="n", settled=(Side.STOCK,)))
