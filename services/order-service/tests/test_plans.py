"""Operators find the few sagas that they ask for among any number of settled ones."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from common import searching
from order_service.domain import Health, Status
from order_service.store import sagas
from order_service.store.sagas import SagaFilter

from tests.support.plans import analyse, filling, plan_of
from tests.support.postgres import Databases
from tests.support.shop import Shop

pytestmark = pytest.mark.postgres

LAST = (datetime(2026, 3, 1, tzinfo=UTC), UUID(int=7))


async def fill(databases: Databases) -> None:
    """Have a large table of orders, few of which are not settled."""
    async with filling(databases.admin_dsn, "orders") as admin:
        await admin.execute(
            """
            INSERT INTO orders (order_id, customer_id, status, saga, stock, payment, reason,
                                closed_by, stock_closed, payment_closed, total, currency,
                                amount_captured, amount_refunded, noted, stuck_reason, version,
                                deadline_at, closing_attempts, created_at, updated_at, settled_at)
            SELECT gen_random_uuid(), gen_random_uuid(), status, saga, 'NONE', 'NONE',
                   CASE WHEN status LIKE 'CANCEL%' THEN 'cancelled_by_staff' END,
                   CASE WHEN status LIKE 'CANCEL%' THEN 'staff' END, false, false, 100, 'GBP', 0, 0,
                   '{}', CASE WHEN saga = 'STUCK' THEN 'closing_unanswered' END, 1, now(), 0,
                   timestamptz '2026-01-01Z' + make_interval(mins => n), now(),
                   CASE WHEN saga IN ('COMPLETED', 'COMPENSATED') THEN now() END
              FROM (VALUES ('COMPLETED', 'COMPLETED', 90000), ('CANCELLED', 'COMPENSATED', 9000),
                           ('PENDING', 'RUNNING', 100), ('CANCELLING', 'COMPENSATING', 20),
                           ('CANCELLING', 'STUCK', 10)) AS kind (status, saga, many),
                   generate_series(1, many) AS n
            """
        )


LISTED = [
    (SagaFilter(), "ix_orders_created"),
    (SagaFilter(Health.COMPLETED), "ix_orders_created"),
    (SagaFilter(Health.COMPENSATED), "ix_orders_created"),
    (SagaFilter(None, Status.CANCELLED), "ix_orders_created"),
    (SagaFilter(Health.RUNNING), "ix_orders_open"),
    (SagaFilter(Health.WAITING), "ix_orders_open"),
    (SagaFilter(Health.COMPENSATING), "ix_orders_open"),
    (SagaFilter(Health.STUCK), "ix_orders_open"),
    (SagaFilter(None, Status.PENDING), "ix_orders_open"),
    (SagaFilter(None, Status.CANCELLING), "ix_orders_open"),
    (SagaFilter(Health.STUCK, Status.CANCELLING), "ix_orders_open"),
]


@pytest.mark.timeout(300)  # a hundred thousand rows are written first
async def test_no_list_of_sagas_reads_the_whole_table(shop: Shop, databases: Databases) -> None:
    await fill(databases)
    await analyse(databases.admin_dsn, "orders.orders")

    async with shop.database.transaction() as tx:
        await searching.plan_afresh(tx)
        for wanted, index in LISTED:
            for after in ((None, None), LAST):
                plan = await plan_of(tx, sagas.LIST_SAGAS, *sagas.filters_of(wanted), *after, 21)
                assert "Seq Scan" not in plan, (wanted, after, plan)
                assert index in plan, (wanted, after, plan)
