"""The provider's list against our payments, with the real simulator and Postgres."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from common.message import uuid7
from payment_service.app import build_breaker, build_reconciler
from payment_service.messages import Money, OrderCancelRequested, RefundRequested
from payment_service.store.reconciliations import are_runs_due, lease_runs
from prometheus_client import REGISTRY

from tests.support.cashier import Cashier
from tests.support.payment_desk import PaymentDesk, open_payment_desk, problem, shown
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

OPS = "http://pedido/ops/v1"
ABSENT = UUID("0198f3a0-0009-7000-8000-000000000009")


@pytest_asyncio.fixture
async def desk(cashier: Cashier) -> AsyncIterator[PaymentDesk]:
    async with open_payment_desk(cashier.settings) as desk:
        yield desk


@asynccontextmanager
async def comparing(cashier: Cashier) -> AsyncIterator[None]:
    stop = asyncio.Event()
    breaker = build_breaker(cashier.settings)
    reconciler = build_reconciler(cashier.settings, cashier.database, breaker)
    running = asyncio.create_task(reconciler.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def made(cashier: Cashier, desk: PaymentDesk, location: str) -> dict[str, Any]:
    """Wait until a comparison is made."""

    async def finished() -> dict[str, Any] | None:
        run = shown(await desk.get(f"http://pedido{location}", "operator"))
        return run if run["finishedAt"] else None

    async with comparing(cashier):
        run = await eventually(finished)
    assert run is not None
    return run


async def differences(desk: PaymentDesk, location: str) -> list[dict[str, Any]]:
    found = shown(await desk.get(f"http://pedido{location}/differences", "operator"))
    listed: list[dict[str, Any]] = found["data"]
    return listed


def tamper(cashier: Cashier, sql: str, *arguments: object) -> None:
    """Change the provider's books behind everybody's back."""
    with closing(sqlite3.connect(cashier.gateway.ledger)) as ledger, ledger:
        assert ledger.execute(sql, arguments).rowcount == 1


async def settled(cashier: Cashier) -> dict[str, UUID]:
    """Bring payments to each of their ends."""
    ends = ("held", "taken", "returned", "given up", "refused")
    orders = {end: await cashier.due() for end in ends[:-1]}
    orders["refused"] = await cashier.due("pm_declined")
    async with cashier.charging():
        for end in ends[:-1]:
            await eventually(partial(cashier.has, orders[end], "AUTHORIZED"))
        await eventually(partial(cashier.has, orders["refused"], "DECLINED"))
        await cashier.confirm(orders["taken"], orders["returned"])
        await cashier.hear(OrderCancelRequested(order_id=orders["given up"]))
        for end, have in (("taken", "CAPTURED"), ("returned", "CAPTURED"), ("given up", "VOIDED")):
            await eventually(partial(cashier.has, orders[end], have))
        part = Money(amount=678, currency="GBP")
        asked = RefundRequested(order_id=orders["returned"], refund_id=uuid7(), amount=part)
        await cashier.hear(asked)
        await eventually(partial(cashier.has, orders["returned"], "CAPTURED"))
    return orders


async def compared_all(cashier: Cashier, desk: PaymentDesk) -> list[tuple[str, str | None]]:
    """Compare all of the last minute; answer what differs of our own payments."""
    now = datetime.now(UTC)
    body = {"from": (now - timedelta(minutes=1)).isoformat(), "to": now.isoformat()}
    asked = await desk.post(f"{OPS}/reconciliations", "operator", json=body)
    assert asked.status_code == 202, asked.text
    await made(cashier, desk, asked.headers["location"])
    found = await differences(desk, asked.headers["location"])
    return [(each["reason"], each["orderId"]) for each in found if each["orderId"]]


async def test_books_that_agree_have_no_difference(cashier: Cashier, desk: PaymentDesk) -> None:
    await settled(cashier)

    assert await compared_all(cashier, desk) == []

    (act,) = await cashier.rows("SELECT action FROM ops_audit")
    assert act["action"] == "payments.reconcile"


async def test_every_difference_is_found_with_its_reason(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    orders = await settled(cashier)
    intents = {end: (await cashier.payment(order))["intent_id"] for end, order in orders.items()}
    tamper(cashier, "UPDATE intents SET status = 'canceled' WHERE id = ?", intents["held"])
    tamper(cashier, "UPDATE intents SET amount = 1 WHERE id = ?", intents["taken"])
    tamper(cashier, "DELETE FROM refunds WHERE intent_id = ?", intents["returned"])
    tamper(cashier, "DELETE FROM intents WHERE id = ?", intents["given up"])
    refused = str((await cashier.payment(orders["refused"]))["payment_id"])
    tamper(
        cashier,
        "UPDATE intents SET status = 'requires_capture' "
        "WHERE json_extract(metadata, '$.payment_id') = ?",
        refused,
    )

    assert sorted(await compared_all(cashier, desk)) == sorted(
        [
            ("STATE", str(orders["held"])),
            ("AMOUNT", str(orders["taken"])),
            ("REFUND_MISSING", str(orders["returned"])),
            ("MISSING", str(orders["given up"])),
            ("UNACCOUNTED", str(orders["refused"])),
        ]
    )


async def test_what_is_on_its_way_is_no_difference(cashier: Cashier, desk: PaymentDesk) -> None:
    orders = await settled(cashier)
    await cashier.rows(
        "UPDATE payments SET operation = 'VOID', have = 'CAPTURED', next_at = now() + "
        "interval '1 hour' WHERE order_id = $1",
        orders["held"],
    )

    assert await compared_all(cashier, desk) == []


async def test_staff_has_one_payment_looked_up(cashier: Cashier, desk: PaymentDesk) -> None:
    orders = await settled(cashier)
    row = await cashier.payment(orders["taken"])
    tamper(cashier, "UPDATE intents SET status = 'canceled' WHERE id = ?", row["intent_id"])
    path = f"/payments/{row['payment_id']}/reconcile"

    first, second = await desk.post(path), await desk.post(path, "admin")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["location"] == second.headers["location"]
    run = await made(cashier, desk, first.headers["location"])

    assert (run["paymentId"], run["compared"], run["differences"]) == (
        str(row["payment_id"]),
        1,
        1,
    )
    (found,) = await differences(desk, first.headers["location"])
    assert (found["reason"], found["providerId"]) == ("STATE", row["intent_id"])
    assert await cashier.payment(orders["taken"]) == row  # looked at, not changed


async def test_an_old_payment_is_compared_without_all_that_was_made_since(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    orders = await settled(cashier)
    await cashier.rows(
        "UPDATE payments SET created_at = created_at - $1::interval, "
        "authorized_at = authorized_at - $1::interval",
        timedelta(days=30),
    )
    row = await cashier.payment(orders["taken"])

    asked = await desk.post(f"/payments/{row['payment_id']}/reconcile")
    run = await made(cashier, desk, asked.headers["location"])

    assert (run["compared"], run["differences"]) == (1, 0)
    since, until = (datetime.fromisoformat(run[name]) for name in ("from", "to"))
    assert since < row["created_at"] < until
    assert until - since < timedelta(days=2)


async def test_a_payment_of_which_no_charge_is_known_is_compared_up_to_its_last_change(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    """Its last call may have been days after its row, when the provider was away at first."""
    order_id = await cashier.due()
    await cashier.rows(
        "UPDATE payments SET created_at = now() - interval '30 days', "
        "updated_at = now() - interval '20 days'"
    )
    row = await cashier.payment(order_id)

    asked = await desk.post(f"/payments/{row['payment_id']}/reconcile")
    run = await made(cashier, desk, asked.headers["location"])

    until = datetime.fromisoformat(run["to"])
    assert row["updated_at"] < until < row["updated_at"] + timedelta(days=2)


async def test_a_payment_in_doubt_is_asked_about_at_once(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = await cashier.due()
    await cashier.rows(
        "UPDATE payments SET calls = 1, called_at = now(), next_at = now() + interval '5 hours'"
    )
    payment_id = (await cashier.payment(order_id))["payment_id"]

    assert (await desk.post(f"/payments/{payment_id}/reconcile")).status_code == 202
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))


async def test_a_provider_that_is_away_is_asked_again_later(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = await cashier.due()
    payment_id = (await cashier.payment(order_id))["payment_id"]
    cashier.settings = cashier.settings.model_copy(
        update={"payment_gateway_url": "http://127.0.0.1:9"}
    )
    await desk.post(f"/payments/{payment_id}/reconcile")

    async with comparing(cashier):
        await eventually(partial(postponed, cashier))


async def test_payments_that_are_locked_are_compared_later(
    cashier: Cashier, desk: PaymentDesk
) -> None:
    order_id = await cashier.due()
    payment_id = (await cashier.payment(order_id))["payment_id"]
    await desk.post(f"/payments/{payment_id}/reconcile")

    async with cashier.database.transaction() as tx:
        await tx.execute("LOCK TABLE payments")
        async with comparing(cashier):
            await eventually(partial(postponed, cashier))


async def postponed(cashier: Cashier) -> bool:
    """Tell whether the comparison was given back, to be made again."""
    (row,) = await cashier.rows(
        "SELECT lease_token IS NULL AND next_at > now() AS waits, finished_at FROM reconciliations"
    )
    return bool(row["waits"]) and row["finished_at"] is None


async def test_a_comparison_is_due_until_somebody_makes_it(cashier: Cashier) -> None:
    assert not await are_runs_due(cashier.database)
    await cashier.watch_books()
    assert await are_runs_due(cashier.database)

    async with cashier.database.transaction() as tx:
        assert await lease_runs(tx, 1, uuid4(), timedelta(minutes=1))

    assert not await are_runs_due(cashier.database)


async def test_the_whole_list_is_compared_regularly(cashier: Cashier) -> None:
    await cashier.watch_books()
    await cashier.watch_books()
    assert len(await cashier.rows("SELECT * FROM reconciliations")) == 1

    await cashier.rows(
        "UPDATE reconciliations SET created_at = created_at - $1::interval, "
        "from_at = from_at - $1::interval, to_at = to_at - $1::interval",
        timedelta(hours=25),
    )
    await cashier.rows(
        "INSERT INTO reconciliations (run_id, from_at, to_at, finished_at) "
        "VALUES ($1, now() - interval '2 hours', now() - interval '1 hour', now())",
        uuid7(),  # an operator's own run leaves no gap in the regular ones
    )
    await cashier.watch_books()

    first, second = await cashier.rows(
        "SELECT * FROM reconciliations WHERE regular ORDER BY created_at"
    )
    assert first["to_at"] == second["from_at"]


async def test_a_comparison_that_is_not_made_within_an_hour_is_an_alarm(cashier: Cashier) -> None:
    async def overdue() -> float | None:
        await cashier.watch_books()
        return REGISTRY.get_sample_value("pedido_payment_comparisons_overdue")

    assert await overdue() == 0
    await cashier.rows("UPDATE reconciliations SET created_at = created_at - interval '1 hour'")
    assert await overdue() == 1

    async with comparing(cashier):
        await eventually(partial(is_compared, cashier))
    assert await overdue() == 0


async def is_compared(cashier: Cashier) -> bool:
    """Tell whether no comparison waits."""
    return not await cashier.rows("SELECT FROM reconciliations WHERE finished_at IS NULL")


async def test_old_comparisons_are_forgotten_but_for_the_last_regular_one(
    cashier: Cashier,
) -> None:
    for days, regular in [(40, True), (35, True), (34, False), (29, False)]:
        run_id = uuid7()
        await cashier.rows(
            "INSERT INTO reconciliations (run_id, regular, from_at, to_at, created_at, finished_at)"
            " SELECT $1, $2, t - interval '1 day', t, t, t"
            "   FROM (SELECT now() - make_interval(days => $3)) AS at (t)",
            run_id,
            regular,
            days,
        )
        await cashier.rows(
            "INSERT INTO reconciliation_differences (run_id, reason, ours, theirs) "
            "VALUES ($1, 'STATE', $2, '-')",
            run_id,
            f"{days}",
        )

    gone = await cashier.watch_books()

    assert gone == 2
    left = await cashier.rows("SELECT ours FROM reconciliation_differences ORDER BY id")
    assert [row["ours"] for row in left] == ["35", "29"]
    ended = await cashier.rows("SELECT 1 FROM reconciliations WHERE finished_at IS NOT NULL")
    assert len(ended) == 2


@pytest.mark.parametrize(
    ("path", "role", "body", "refusal"),
    [
        (f"/payments/{ABSENT}/reconcile", "staff", None, (404, "not_found")),
        (f"/payments/{ABSENT}/reconcile", "customer", None, (403, "forbidden")),
        (f"/payments/{ABSENT}/reconcile", None, None, (401, "unauthenticated")),
        ("/payments/x/reconcile", "staff", None, (422, "validation_failed")),
        (f"{OPS}/reconciliations", "staff", {}, (403, "forbidden")),
        (f"{OPS}/reconciliations", "operator", {}, (422, "validation_failed")),
        (
            f"{OPS}/reconciliations",
            "operator",
            {"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
            (422, "validation_failed"),
        ),
        (
            f"{OPS}/reconciliations",
            "operator",
            {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            (422, "validation_failed"),
        ),
        (
            f"{OPS}/reconciliations",
            "operator",
            {"from": "9998-01-01T00:00:00Z", "to": "9998-01-02T00:00:00Z"},
            (422, "validation_failed"),
        ),
    ],
    ids=range(9),
)
async def test_what_can_not_be_compared_is_refused(
    desk: PaymentDesk, path: str, role: str | None, body: Any, refusal: tuple[int, str]
) -> None:
    given = {} if body is None else {"json": body}

    assert problem(await desk.post(path, role, **given)) == refusal


async def test_only_staff_reads_a_comparison(desk: PaymentDesk) -> None:
    for path in (f"{OPS}/reconciliations/{ABSENT}", f"{OPS}/reconciliations/{ABSENT}/differences"):
        assert problem(await desk.get(path, "staff")) == (404, "not_found")
        assert problem(await desk.get(path, "customer")) == (403, "forbidden")
