"""A refund that fails for ten minutes: seen while it is open, made once when it works again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import pytest
from devstack.simulator import launch
from payment_service.messages import OrderCancelRequested
from prometheus_client import REGISTRY

from tests.support.cashier import Cashier
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def no_refunds(cashier: Cashier) -> AsyncIterator[None]:
    """Let the provider answer 500 to every refund, and to nothing else."""
    url = cashier.gateway.url
    await launch.tell(url, "mood", mood="broken", path="/v1/refunds")
    try:
        yield
    finally:
        await launch.tell(url, "mood", mood="fine")


async def overdue_refunds(cashier: Cashier) -> float | None:
    """Read the metric that the alert PaymentsOverdue asks for, as the service shows it."""
    await cashier.watch_books()
    return REGISTRY.get_sample_value("pedido_payments_overdue", {"operation": "REFUND"})


async def failed(cashier: Cashier, order_id: UUID, since: int) -> bool:
    row = await cashier.payment(order_id)
    return row["operation"] == "REFUND" and row["calls"] > since and row["lease_token"] is None


async def test_a_refund_that_fails_for_ten_minutes_is_alerted_and_then_made_once(
    cashier: Cashier,
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.confirm(order_id)
        await eventually(partial(cashier.has, order_id, "CAPTURED"))

    async with no_refunds(cashier):
        await cashier.hear(OrderCancelRequested(order_id=order_id))
        async with cashier.charging():
            await eventually(partial(failed, cashier, order_id, 1))
        assert await overdue_refunds(cashier) == 0
        calls = (await cashier.payment(order_id))["calls"]
        await cashier.rows("UPDATE payments SET called_at = called_at - interval '10 minutes'")
        async with cashier.charging():
            await eventually(partial(failed, cashier, order_id, calls))
        assert await overdue_refunds(cashier) == 1
        assert "PaymentRefunded" not in await cashier.words(order_id)

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "REFUNDED"))

    assert await overdue_refunds(cashier) == 0
    assert (await cashier.words(order_id)).count("PaymentRefunded") == 1
    assert cashier.effects(order_id) == [
        ("authorize", 2208),
        ("capture", 2208),
        ("refund", 2208),
    ]
