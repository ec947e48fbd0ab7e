from pathlib import Path
from uuid import UUID

import pytest
from invariants.history import (
    Answer,
    check_keys,
    check_settled,
    check_transitions,
    read_client_log,
)
from invariants.report import Finding
from invariants.sources import SourceError

from tests.support.shop_at_rest import CUSTOMER, DECLINED, GOOD, UNDONE, World

pytestmark = pytest.mark.postgres

LOST = UUID("0198f3a0-0009-7000-8000-000000000009")
ANSWERS = [Answer(order_id, CUSTOMER, str(order_id), "sha") for order_id in (GOOD, DECLINED)]


async def all_three(world: World, answers: list[Answer]) -> dict[str, Finding]:
    findings = (
        await check_settled(world.db, answers),
        await check_keys(world.db, answers),
        await check_transitions(world.db),
    )
    return {finding.id: finding for finding in findings}


def broken(findings: dict[str, Finding]) -> list[str]:
    return [name for name, finding in findings.items() if not finding.holds]


async def test_a_shop_at_rest_breaks_none(world: World) -> None:
    assert broken(await all_three(world, ANSWERS)) == []


async def test_i1_an_accepted_order_is_lost(world: World) -> None:
    findings = await all_three(world, [*ANSWERS, Answer(LOST, CUSTOMER, "k", "sha")])

    assert broken(findings) == ["I1"]
    assert str(LOST) in findings["I1"].examples[0]


async def test_i1_a_stored_answer_has_no_order(world: World) -> None:
    await world.run("DELETE FROM orders.orders WHERE order_id = $1", GOOD)

    assert "I1" in broken(await all_three(world, []))


@pytest.mark.parametrize(
    ("status", "saga"),
    [
        ("PENDING", "RUNNING"),
        ("ACTION_REQUIRED", "WAITING"),
        ("CONFIRMED", "RUNNING"),
        ("CANCELLING", "STUCK"),
        ("REJECTED", "COMPENSATING"),
        ("CANCELLED", "STUCK"),
    ],
)
async def test_i1_an_order_is_not_settled(world: World, status: str, saga: str) -> None:
    await world.run(
        "UPDATE orders.orders SET status = $1, saga = $2 WHERE order_id = $3", status, saga, GOOD
    )

    assert "I1" in broken(await all_three(world, ANSWERS))


async def test_i7_one_order_has_two_keys(world: World) -> None:
    await world.run(
        "UPDATE orders.idempotency_keys SET order_id = $1 WHERE order_id = $2", GOOD, DECLINED
    )

    assert broken(await all_three(world, [])) == ["I7"]


@pytest.mark.parametrize(
    "second",
    [Answer(UNDONE, CUSTOMER, str(GOOD), "sha"), Answer(GOOD, CUSTOMER, str(GOOD), "another")],
    ids=["another order", "another body"],
)
async def test_i7_a_key_was_answered_in_two_ways(world: World, second: Answer) -> None:
    assert broken(await all_three(world, [*ANSWERS, second])) == ["I7"]


@pytest.mark.parametrize(
    ("event_type", "version", "status"),
    [
        ("OrderShipped", 5, "REJECTED"),
        ("OrderConfirmed", 1, "REJECTED"),
        ("OrderExpired", 5, "REJECTED"),
        ("StockReserved", 9, "REJECTED"),
        ("OrderRejected", 4, "EXPIRED"),
        ("RefundRequested", 5, "REJECTED"),
    ],
    ids=["shipped", "not placed first", "ended twice", "gap", "row says another", "refunded"],
)
async def test_i8_a_history_is_illegal(
    world: World, event_type: str, version: int, status: str
) -> None:
    await world.run(
        """DELETE FROM orders.order_events
           WHERE order_id = $1 AND version IN ($2, CASE WHEN $2 > 5 THEN 5 ELSE $2 END)""",
        DECLINED,
        version,
    )
    await world.run("UPDATE orders.orders SET status = $1 WHERE order_id = $2", status, DECLINED)
    await world.db.execute(
        """INSERT INTO orders.order_events
           (order_id, version, type, service, data, occurred_at, recorded_at, event_id)
           VALUES ($1, $2, $3, '', '{}', now(), now(), gen_random_uuid())""",
        DECLINED,
        version,
        event_type,
    )

    assert broken(await all_three(world, [])) == ["I8"]


@pytest.mark.parametrize("late", ["StockReserved", "PaymentAuthorized", "LatePaymentReversed"])
async def test_a_late_fact_of_another_service_changes_no_status(world: World, late: str) -> None:
    await world.db.execute(
        """INSERT INTO orders.order_events
           (order_id, version, type, service, data, occurred_at, recorded_at, event_id)
           VALUES ($1, 6, $2, '', '{}', now(), now(), gen_random_uuid())""",
        DECLINED,
        late,
    )

    assert broken(await all_three(world, [])) == []


def test_a_line_that_is_no_answer_is_named(tmp_path: Path) -> None:
    log = tmp_path / "answers.jsonl"
    log.write_text(
        f'{{"order_id": "{GOOD}", "principal": "{CUSTOMER}", "key": "k", "body_sha": "s"}}\n{{}}\n'
    )

    with pytest.raises(SourceError, match=r"answers.jsonl:2"):
        read_client_log(log)
