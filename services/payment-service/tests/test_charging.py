"""Due payments against real Postgres and the real simulator, whatever it does."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from common.message import uuid7
from payment_service.charging import LEASE_MARGIN
from payment_service.domain.answers import Errand, Postponed, Succeeded
from payment_service.messages import (
    OrderCancelRequested,
    OrderExpired,
    OrderRejected,
    PaymentDeclined,
    PaymentVoided,
    StockReserved,
)
from payment_service.store.leases import lease_errands

from tests.support.cashier import Cashier, placed
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

LEASE = timedelta(seconds=60)


def keys(cashier: Cashier, row: dict[str, object]) -> list[str]:
    """See under which idempotency keys the provider was asked."""
    query = "SELECT key FROM keys WHERE key LIKE ? ORDER BY rowid"
    found = cashier.gateway.rows(query, f"{row['payment_id']}:%")
    return [key.split(":", 1)[1] for (key,) in found]


async def lease(cashier: Cashier, limit: int = 1) -> list[Errand]:
    """Lease as a worker does that then dies."""
    async with cashier.database.transaction() as tx:
        lives = {"key_life": timedelta(hours=23), "hold_life": timedelta(days=6)}
        return await lease_errands(tx, limit, uuid4(), LEASE, **lives)


async def move(cashier: Cashier, order_id: UUID, **by: timedelta) -> None:
    """Move the times of a payment, since nobody fakes the database's clock."""
    async with cashier.database.transaction() as tx:
        await tx.execute(
            "UPDATE payments SET next_at = now(), called_at = called_at - $2::interval, "
            "last_call_at = last_call_at - $2::interval WHERE order_id = $1",
            order_id,
            by.get("called", timedelta(0)),
        )


async def test_what_is_due_is_authorised_and_captured_once(cashier: Cashier) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.confirm(order_id)
        await eventually(partial(cashier.has, order_id, "CAPTURED"))

    assert await cashier.words(order_id) == ["PaymentAuthorized", "PaymentCaptured"]
    assert cashier.effects(order_id) == [("authorize", 2208), ("capture", 2208)]
    assert keys(cashier, await cashier.payment(order_id)) == ["authorize:1", "capture:1"]


async def test_an_event_is_caused_by_the_message_that_made_its_payment_due(
    cashier: Cashier,
) -> None:
    order_id = await cashier.due()
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    (row,) = await cashier.rows("SELECT header_names, header_values FROM outbox")
    headers = dict(zip(row["header_names"], row["header_values"], strict=True))
    (cause,) = await cashier.rows("SELECT event_id FROM inbox WHERE topic = 'inventory.v1'")
    assert headers[b"ce_causationid"].decode() == str(cause["event_id"])
    assert headers[b"ce_correlationid"] == b"story-1"


@pytest.mark.parametrize(
    ("token", "asked"),
    [
        ("pm_answer_lost", ["authorize:1"]),
        ("pm_timeout", ["authorize:1"]),
        ("pm_error_5xx", ["authorize:1", "authorize:2", "authorize:3"]),
    ],
    ids=["answer lost", "time-out", "server errors that are stored"],
)
async def test_trouble_at_the_provider_never_charges_twice(
    cashier: Cashier, token: str, asked: list[str]
) -> None:
    order_id = await cashier.due(token)
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    assert cashier.effects(order_id) == [("authorize", 2208)]
    assert await cashier.words(order_id) == ["PaymentAuthorized"]
    assert keys(cashier, await cashier.payment(order_id)) == asked


async def test_a_decline_is_one_attempt_and_its_closing_is_answered(cashier: Cashier) -> None:
    order_id = await cashier.due("pm_declined_insufficient_funds")
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "DECLINED"))
        await cashier.hear(OrderExpired(order_id=order_id))

    row = await cashier.payment(order_id)
    payment_id = row["payment_id"]
    assert keys(cashier, row) == ["authorize:1"]
    assert await cashier.said(order_id) == [
        PaymentDeclined(order_id=order_id, payment_id=payment_id, code="insufficient_funds"),
        PaymentVoided(order_id=order_id, payment_id=payment_id, nothing_held=True, closing=True),
    ]


async def test_a_capture_that_fails_is_said_once_and_the_hold_is_given_up(
    cashier: Cashier,
) -> None:
    order_id = await cashier.due("pm_capture_fails")
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.confirm(order_id)
        await eventually(partial(cashier.has, order_id, "CAPTURE_FAILED"))
        await cashier.hear(OrderCancelRequested(order_id=order_id))
        await eventually(partial(cashier.has, order_id, "VOIDED"))

    assert await cashier.words(order_id) == [
        "PaymentAuthorized",
        "PaymentCaptureFailed",
        "PaymentVoided",
    ]
    assert cashier.effects(order_id) == [("authorize", 2208), ("cancel", 2208)]


async def test_a_hold_that_expired_before_its_capture_is_a_failed_capture(
    cashier: Cashier,
) -> None:
    order_id = await cashier.due("pm_expires")
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.confirm(order_id)
        await eventually(partial(cashier.has, order_id, "CAPTURE_FAILED"))
        await cashier.hear(OrderCancelRequested(order_id=order_id))
        await eventually(partial(cashier.has, order_id, "VOIDED"))

    assert cashier.effects(order_id) == [("authorize", 2208), ("cancel", 2208)]
    assert (await cashier.words(order_id))[1:] == ["PaymentCaptureFailed", "PaymentVoided"]


async def test_more_than_the_limit_is_declined_without_asking_the_provider(
    cashier: Cashier,
) -> None:
    cashier.settings = cashier.settings.model_copy(update={"payment_limits": {"GBP": 2208}})
    at_limit, above = await cashier.due(amount=2208), await cashier.due(amount=2209)
    called = await cashier.due(amount=2209)
    await cashier.rows("UPDATE payments SET calls = 1 WHERE order_id = $1", called)
    async with cashier.charging():
        await eventually(partial(cashier.has, at_limit, "AUTHORIZED"))
        await eventually(partial(cashier.has, above, "DECLINED"))
        # The provider may hold this one already, so it alone can say.
        await eventually(partial(cashier.has, called, "AUTHORIZED"))

    assert cashier.effects(above) == []
    assert [event.code for event in await cashier.said(above)] == ["over_limit"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["pm_4242424242424242", "4242-4242-4242-4242"])
async def test_a_card_number_in_an_event_is_declined_and_goes_no_further(
    cashier: Cashier, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    order_id = await cashier.due(method)
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "DECLINED"))
        await cashier.hear(OrderRejected(order_id=order_id))

    assert await cashier.words(order_id) == ["PaymentDeclined", "PaymentVoided"]
    row = await cashier.payment(order_id)
    assert row["code"] == "card_number"
    assert keys(cashier, row) == []
    tables = await cashier.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'payments'")
    dump = [await cashier.rows(f"SELECT t::text FROM {name} AS t") for (name,) in tables]  # noqa: S608
    assert "withheld" in f"{dump}"
    assert method not in f"{dump}{capsys.readouterr()}"
    assert method.encode().hex() not in f"{dump}"


@pytest.mark.parametrize("operation", ["authorize", "capture"])
async def test_a_crash_between_the_providers_yes_and_our_commit_charges_once(
    cashier: Cashier, operation: str
) -> None:
    order_id = await cashier.due()
    if operation == "capture":
        async with cashier.charging():
            await eventually(partial(cashier.has, order_id, "AUTHORIZED"))
        await cashier.confirm(order_id)
    charger = cashier.charger()
    (errand,) = await lease(cashier)
    async with charger.provider.client:
        assert isinstance(await charger.work(errand), Succeeded)
    # Nobody settles: the worker is dead, and its lease runs out.
    await move(cashier, order_id)

    await cashier.confirm(order_id)
    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "CAPTURED"))

    assert cashier.effects(order_id) == [("authorize", 2208), ("capture", 2208)]
    assert await cashier.words(order_id) == ["PaymentAuthorized", "PaymentCaptured"]


async def test_hours_after_a_crash_the_providers_records_are_read_before_any_call(
    cashier: Cashier,
) -> None:
    order_id = await cashier.due()
    charger = cashier.charger()
    (errand,) = await lease(cashier)
    async with charger.provider.client:
        await charger.work(errand)
    a_day = timedelta(hours=24)
    await move(cashier, order_id, called=a_day)
    forget_key(cashier, errand.key, a_day)

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    assert cashier.effects(order_id) == [("authorize", 2208)]
    assert keys(cashier, await cashier.payment(order_id)) == []


def forget_key(cashier: Cashier, key: str, age: timedelta) -> None:
    """Let the provider be so much older: the same key would charge again."""
    with closing(sqlite3.connect(cashier.gateway.ledger)) as ledger, ledger:
        ledger.execute("DELETE FROM keys WHERE key = ?", (key,))
        ledger.execute(
            "UPDATE intents SET created = created - ? WHERE id IN "
            "(SELECT intent_id FROM effects WHERE idempotency_key = ?)",
            (int(age.total_seconds()), key),
        )


async def test_a_key_past_its_life_is_replaced_only_after_two_looks(cashier: Cashier) -> None:
    order_id = await cashier.due()
    await lease(cashier)
    await move(cashier, order_id, called=timedelta(hours=24))

    async with cashier.charging():
        await eventually(partial(cashier.has, order_id, "AUTHORIZED"))

    assert keys(cashier, await cashier.payment(order_id)) == ["authorize:2"]
    assert cashier.effects(order_id) == [("authorize", 2208)]


async def test_a_lease_that_is_nearly_over_makes_no_call(cashier: Cashier) -> None:
    order_id = await cashier.due()
    (errand,) = await lease(cashier)
    charger = cashier.charger()
    needed = (charger.pace.timeout + LEASE_MARGIN).total_seconds()

    async with charger.provider.client:
        answer = await charger.work(replace(errand, lease_ends=time.monotonic() + needed))

    assert answer == Postponed("lease too short", called=False)
    assert cashier.effects(order_id) == []


async def test_two_processes_share_the_work_and_charge_each_once(cashier: Cashier) -> None:
    order_ids = [await cashier.due() for _ in range(40)]

    async def all_authorised() -> bool:
        (row,) = await cashier.rows("SELECT count(*) FROM payments WHERE have = 'AUTHORIZED'")
        return bool(row["count"] == len(order_ids))

    async with cashier.charging(), cashier.charging():
        await eventually(all_authorised)

    assert {tuple(cashier.effects(order_id)) for order_id in order_ids} == {(("authorize", 2208),)}
    (attempts,) = await cashier.rows("SELECT max(attempt) AS most FROM payments")
    assert attempts["most"] == 0


async def test_payments_are_settled_in_batches(cashier: Cashier) -> None:
    order_ids = [uuid7() for _ in range(100)]
    await cashier.hear(*(placed(order_id) for order_id in order_ids))
    await cashier.hear(*(StockReserved(order_id=order_id) for order_id in order_ids))

    async def settled() -> int | None:
        (row,) = await cashier.rows(
            "SELECT count(*) AS n, count(DISTINCT updated_at) AS transactions FROM payments "
            "WHERE have = 'AUTHORIZED'"
        )
        return int(row["transactions"]) if row["n"] == len(order_ids) else None

    async with cashier.charging():
        transactions = await eventually(settled)

    assert transactions is not None
    assert transactions < len(order_ids) / 2
