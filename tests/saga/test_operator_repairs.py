"""What an operator mends, through the command line and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from devstack.deployment import Deployment

    from tests.saga.conftest import Town
    from tests.support.operator import Operator

pytestmark = [pytest.mark.saga, pytest.mark.timeout(240)]

BROKEN = "deciding.folding=raise*0@f"
"""A bug that orders whose id ends in f run into, as often as they are tried."""


async def an_order(town: Town, *, ends_in_f: bool) -> UUID:
    await town.fill_shelf(100_000)  # it takes what orders it takes
    while True:
        order = await town.order(1)
        if str(order).endswith("f") is ends_in_f:
            return order


async def release(services: Deployment, **settings: str) -> None:
    """Run order-service with other settings."""
    services.overrides["order"] = settings
    await services.stop("order")
    await services.start("order")


async def dead_key(operator: Operator, order: UUID) -> dict[str, Any] | None:
    keys: list[dict[str, Any]] = await operator.ask("parked", "list", "order", "--limit", "99")
    found = [k for k in keys if k["key"] == str(order) and k["head"]["state"] == "dead"]
    return found[0] if found else None


async def both_letters(operator: Operator, order: UUID) -> list[dict[str, Any]] | None:
    """List what waits of an order, once the payment that follows waits behind the stock."""
    letters: list[dict[str, Any]] = await operator.ask("dlt", "list", "order", "--key", str(order))
    return letters if len(letters) > 1 else None


async def test_an_order_whose_message_fails_waits_and_is_replayed_in_order(
    town: Town, services: Deployment, operator: Operator, tmp_path: Path
) -> None:
    await release(
        services, FAILPOINTS=BROKEN, FAILPOINTS_LOG=str(tmp_path / "log"), RETRY_ATTEMPTS="2"
    )

    hurt, well = await an_order(town, ends_in_f=True), await an_order(town, ends_in_f=False)
    assert await town.settled(well) == "COMPLETED"

    key = await eventually(lambda: dead_key(operator, hurt))
    waiting = await eventually(lambda: both_letters(operator, hurt))
    shown = await operator.ask("dlt", "show", "order", str(key["head"]["id"]))
    saga = await operator.ask("saga", "show", str(hurt))
    code, _, _ = await operator.run("doctor")

    assert key["head"]["type"] == "StockReserved"
    assert [(each["type"], each["state"]) for each in reversed(waiting)] == [
        ("StockReserved", "dead"),
        ("PaymentAuthorized", "retry"),
    ]
    assert shown["errorClass"] == "common.failpoint.Injected"
    assert (saga["status"], saga["health"]) == ("PENDING", "RUNNING")
    assert any("order" in reason for reason in saga["reasons"])
    assert code == 1

    await release(services)  # the mended one
    planned = await operator.ask("dlt", "replay", "order", "--dry-run")
    done = await operator.ask("dlt", "replay", "order", "--yes", "--note", "release 2 mends it")
    assert planned["matched"] == done["replayed"] >= 1
    assert await town.settled(hurt) == "COMPLETED"
    again = await operator.ask("dlt", "replay", "order", "--yes")

    assert again["matched"] == 0
    handled = await town.db.fetch(
        "SELECT type FROM orders.order_events WHERE order_id = $1 ORDER BY version", hurt
    )
    types = [row["type"] for row in handled]
    assert types.index("StockReserved") < types.index("PaymentAuthorized")
    assert types[-1] == "OrderCompleted"
    assert (await operator.ask("parked", "list", "order")) == []


async def test_keys_are_drained_edited_and_skipped_one_by_one(
    town: Town, services: Deployment, operator: Operator, tmp_path: Path
) -> None:
    await release(
        services, FAILPOINTS=BROKEN, FAILPOINTS_LOG=str(tmp_path / "log"), RETRY_ATTEMPTS="2"
    )
    drained, edited, skipped = [await an_order(town, ends_in_f=True) for _ in range(3)]
    heads = {
        order: (await eventually(lambda o=order: dead_key(operator, o)))["head"]["id"]
        for order in (drained, edited, skipped)
    }
    await release(services, OPS_EDIT="true")
    why = ("--note", "by hand", "--yes")

    await operator.ask("parked", "drain", "order", str(drained), *why)
    await operator.ask("dlt", "edit", "order", str(heads[edited]), "--set", "lines=[]", *why)
    await operator.ask("parked", "skip", "order", str(skipped), "--head", str(heads[skipped]), *why)

    assert [await town.settled(order) for order in heads] == ["COMPLETED"] * 3
    state = "SELECT state FROM orders.parked WHERE id = $1"
    left = [await town.db.fetchval(state, head) for head in heads.values()]
    assert left == [None, None, "skipped"]


async def test_a_paused_consumer_takes_nothing_until_it_is_resumed(
    town: Town, operator: Operator
) -> None:
    await operator.ask("consumers", "pause", "inventory", "--note", "stocktaking", "--yes")
    order = await town.order(1)
    lag = await eventually(lambda: _inventory_lag(operator))
    (state,) = [s for s in await operator.ask("consumers", "status") if s["reason"]]
    assert (state["consumer"], state["state"]) == ("inventory-service", "PAUSED")
    assert lag >= 1
    status = await town.db.fetchval("SELECT status FROM orders.orders WHERE order_id = $1", order)
    assert status == "PENDING"

    await operator.ask("consumers", "resume", "inventory")

    assert await town.settled(order) == "COMPLETED"


async def _inventory_lag(operator: Operator) -> int:
    rows = await operator.ask("lag")
    return next(int(row["lag"]) for row in rows if row["service"] == "inventory")


async def test_a_tripped_breaker_is_seen_by_the_doctor(
    town: Town, services: Deployment, operator: Operator
) -> None:
    services.overrides["payment"] = {
        "PAYMENT_GATEWAY_URL": "http://127.0.0.1:9",
        "PAYMENT_FIRST_RETRY": "100ms",
        "PAYMENT_LONGEST_RETRY": "100ms",
    }
    await services.stop("payment")
    await services.start("payment")
    await town.order(1)

    async def findings() -> str:
        _, out, _ = await operator.run("doctor")
        return out if "breaker payment-gateway is open" in out else ""

    assert "closes by itself" in await eventually(findings, 30)
