"""Take, load, fold and save against a real database."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import prometheus_client
import pytest
import till
from common import inbox
from common.database import Database, Transaction
from common.errors import Contended, Flood
from common.message import Outcome, Received, Stale, uuid7
from common.shell import _CUT_OFF

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = pytest.mark.postgres


def failing_for(*bad: UUID) -> till.Rule:
    def rule(state: till.Till, event: till.OrderConfirmed) -> Outcome | Stale:
        if event.order_id in bad:
            message = "a bug for this order alone"
            raise LookupError(message)
        return till.count(state, event)

    return rule


async def handle(shell: till.Shell[till.Till], *records: till.Record) -> None:
    assert await shell.handle(records, asyncio.Event())


async def test_a_batch_is_counted_once_and_announced_once(database: Database, admin: Admin) -> None:
    shell = till.shell(database)
    orders = [uuid7() for _ in range(5)]
    batch = [till.record(order, offset=n) for n, order in enumerate(orders)]

    await handle(shell, *batch)
    await handle(shell, *batch)

    assert await admin.fetchval("SELECT count(*) FROM till WHERE n = 1") == 5
    assert await admin.fetchval("SELECT count(*) FROM outbox") == 5
    assert await admin.fetchval("SELECT next_offset FROM positions") == 5


async def test_the_same_message_twice_in_one_batch_counts_once(
    database: Database, admin: Admin
) -> None:
    twin = till.record(uuid7())

    await handle(till.shell(database), twin, twin)

    assert await admin.fetchval("SELECT sum(n) FROM till") == 1


UNKNOWN = b"\x00\x7f\xff\xff\xff rest"
"""A frame with a schema id that nobody knows."""

BAD: dict[str, dict[str, Any]] = {
    "no type": {"headers": {b"ce_type": None}},
    "a type that is not UTF-8": {"headers": {b"ce_type": b"\xff\xfe"}},
    "no id": {"headers": {b"ce_id": None}},
    "an id that is no UUID": {"headers": {b"ce_id": b"7"}},
    "an id without a time": {"headers": {b"ce_id": b"3f2b8f6e-5b64-4e0a-9d0b-0a8a4a3f0b11"}},
    "an id from next week": {"event_id": UUID(int=((2**48 - 1) << 80) | 0x7 << 76 | 0x8 << 60)},
    "another producer": {"headers": {b"ce_source": b"/payment-service"}},
    "no time": {"headers": {b"ce_time": None}},
    "a time without a zone": {"headers": {b"ce_time": b"2026-01-01T00:00:00"}},
    "random bytes": {"value": b"\x13\x37 no avro"},
    "a truncated frame": {"value": b"\x00\x00"},
    "a body that ends early": {"value": b"\x00\x00\x00\x03\xeb\x48"},
    "a key that is not the order's": {"key": b"another"},
    "an empty key": {"key": b""},
    "a key that no index takes": {"key": secrets.token_bytes(3000), "value": UNKNOWN},
    "a NUL in a header": {"headers": {b"ce_correlationid": b"a\x00b"}},
    "a correlation without end": {"headers": {b"ce_correlationid": b"a" * 513}},
    "a trace without end": {"headers": {b"traceparent": b"a" * 513}},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD.keys())
async def test_a_poison_record_ends_alone_in_the_dead_letter_topic(
    changed: dict[str, Any], database: Database, admin: Admin
) -> None:
    good = [till.record(uuid7(), offset=0), till.record(uuid7(), offset=2)]
    bad = till.record(uuid7(), offset=1, **changed)

    before = alarms()
    shell = till.shell(database)
    await handle(shell, good[0], bad, good[1])
    await handle(shell, good[0], bad, good[1])

    assert await admin.fetchval("SELECT count(*) FROM till WHERE n = 1") == 2
    assert await letters(admin) == [(bad.key, bad.value)]
    assert await admin.fetchval("SELECT state FROM parked") == "skipped"
    assert await admin.fetchval("SELECT next_offset FROM positions") == 3
    assert alarms() == before + 1


async def test_poison_is_one_dead_letter_however_often_it_comes_in_a_batch(
    database: Database, admin: Admin
) -> None:
    bad = [till.record(uuid7(), offset=0, value=b"junk %d" % n) for n in range(2)]
    shell = till.shell(database)

    await handle(shell, bad[0], bad[0], bad[1], bad[0])

    assert await letters(admin) == [(each.key, each.value) for each in bad]


@pytest.mark.parametrize("batches", ["tf", "t,f,f", "t,tf", "t,ft"])
async def test_a_known_id_with_other_content_is_poison(
    database: Database, admin: Admin, batches: str
) -> None:
    event_id = uuid7()
    true = till.record(uuid7(), event_id=event_id, offset=0)
    false = till.record(uuid7(), event_id=event_id, offset=1)
    before = alarms()
    shell = till.shell(database)

    for batch in batches.split(","):
        await handle(shell, *({"t": true, "f": false}[each] for each in batch))

    counted = await admin.fetch("SELECT order_id::text FROM till")
    assert [row["order_id"].encode() for row in counted] == [true.key]
    assert await letters(admin) == [(false.key, false.value)]
    assert await admin.fetchval("SELECT state FROM parked") == "skipped"
    assert alarms() == before + 1


async def letters(admin: Admin) -> list[tuple[bytes, bytes]]:
    rows = await admin.fetch("SELECT * FROM outbox WHERE topic = 'inventory-service.dlt'")
    return [(row["aggregateid"], row["payload"]) for row in rows]


def alarms() -> float:
    """Read what the alert on dead letters looks at."""
    labels = {"reason": "common.errors.Poison"}
    return prometheus_client.REGISTRY.get_sample_value("pedido_dlt_messages_total", labels) or 0


async def test_a_type_not_decided_on_is_skipped_undecoded(database: Database, admin: Admin) -> None:
    foreign = till.record(uuid7(), headers={b"ce_type": b"OrderShipped"}, value=b"not even avro")

    await handle(till.shell(database), foreign)

    assert await admin.fetchval("SELECT count(*) FROM inbox") == 0
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0
    assert await admin.fetchval("SELECT next_offset FROM positions") == 1


async def test_an_id_older_than_the_inbox_is_stale(database: Database, admin: Admin) -> None:
    old = UUID(
        int=(int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000) << 80) | 0x7 << 76 | 0x8 << 60
    )

    await handle(till.shell(database), till.record(uuid7(), event_id=old))

    assert await admin.fetchval("SELECT count(*) FROM till") == 0
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0
    assert await admin.fetchval("SELECT next_offset FROM positions") == 1


async def test_a_decision_that_raises_parks_its_own_key_only(
    database: Database, admin: Admin
) -> None:
    sick, well = uuid7(), uuid7()
    first = till.record(sick, offset=0)
    second = till.record(sick, offset=1)
    third = till.record(sick, offset=3)
    shell = till.shell(database, failing_for(sick))

    await handle(shell, first, second, till.record(well, offset=2))
    await handle(shell, third)

    assert await admin.fetchval("SELECT order_id FROM till") == well
    assert await admin.fetchval("SELECT count(*) FROM parked WHERE state = 'retry'") == 3
    assert await admin.fetchval("SELECT count(*) FROM inbox") == 4

    await till.sweep(database)

    ids = [UUID(dict(each.headers)[b"ce_id"].decode()) for each in (first, second, third)]
    log = await admin.fetch("SELECT event_id FROM till_log WHERE order_id = $1 ORDER BY 1", sick)
    assert [row["event_id"] for row in log] == ids
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0


async def test_the_last_attempt_makes_a_dead_letter_and_its_key_waits(
    database: Database, admin: Admin
) -> None:
    sick = uuid7()
    shell = till.shell(database, failing_for(sick))
    await handle(shell, till.record(sick, offset=0), till.record(sick, offset=1))

    await till.sweep(database, failing_for(sick))

    states = await admin.fetch("SELECT state, attempt FROM parked ORDER BY seq")
    assert [tuple(row) for row in states] == [("dead", 3), ("retry", 0)]
    letter = await admin.fetchrow("SELECT * FROM outbox WHERE topic = 'inventory-service.dlt'")
    headers = dict(zip(letter["header_names"], letter["header_values"], strict=True))
    assert headers[b"kafka_dlt-exception-fqcn"] == b"builtins.LookupError"
    assert headers[b"kafka_dlt-attempts"] == b"3"


async def test_a_row_that_cannot_be_saved_is_found_by_halving(
    database: Database, admin: Admin
) -> None:
    full = uuid7()
    await admin.execute("INSERT INTO till VALUES ($1, 999)", full)
    batch = [till.record(uuid7(), offset=n) for n in range(7)]
    batch.insert(4, till.record(full, offset=9))

    await handle(till.shell(database), *batch)

    assert await admin.fetchval("SELECT count(*) FROM till WHERE n = 1") == 7
    assert await admin.fetchval("SELECT key FROM parked") == str(full).encode()


async def test_a_row_that_takes_too_long_is_found_by_halving(
    database: Database, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = uuid7()

    async def load(tx: Transaction, messages: Sequence[Received]) -> till.Till:
        if str(slow).encode() in {message.key for message in messages}:
            for timeout in ("0", "100ms"):  # a clock that runs is not set anew
                await tx.execute(f"SET LOCAL transaction_timeout = '{timeout}'")
            await tx.execute("SELECT pg_sleep(10)")
        return await till.load(tx, messages)

    monkeypatch.setattr("common.shell._CUT_OFF", 0.1)
    subscription = replace(till.subscription(), load=load)
    batch = [till.record(order, offset=n) for n, order in enumerate((uuid7(), uuid7(), slow))]
    async with asyncio.timeout(10):
        await handle(till.Shell(subscription, database=database), *batch)

    assert await admin.fetchval("SELECT count(*) FROM till WHERE n = 1") == 2
    assert await admin.fetchval("SELECT key FROM parked") == str(slow).encode()


async def test_a_transaction_is_cut_off_when_the_shell_thinks_it_is(database: Database) -> None:
    (role,) = await database.fetch(
        "SELECT extract(epoch FROM current_setting('transaction_timeout')::interval) AS seconds"
    )

    assert role["seconds"] == _CUT_OFF


IMPATIENT = """
DO $$ BEGIN
    EXECUTE format('ALTER ROLE inventory_app IN DATABASE %I SET lock_timeout = %L',
                   current_database(), '50ms');
END $$
"""


async def test_a_lock_on_the_inbox_is_waited_for(
    database: Database, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await admin.execute(IMPATIENT)
    held = admin.transaction()
    await held.start()
    await admin.execute("LOCK TABLE inbox")

    async def let_go(*_: object) -> None:
        await held.rollback()

    monkeypatch.setattr("common.shell.pause", let_go)
    await handle(till.shell(database), till.record(uuid7()))

    assert await admin.fetchval("SELECT count(*) FROM till WHERE n = 1") == 1
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0


async def test_a_lock_on_a_position_parks_nothing_that_is_only_passed_over(
    database: Database, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = till.shell(database)
    foreign = [
        till.record(uuid7(), offset=n, headers={b"ce_type": b"OrderShipped"}) for n in range(3)
    ]
    await handle(shell, foreign[0])
    await admin.execute(IMPATIENT)
    held = admin.transaction()
    await held.start()
    await admin.execute("UPDATE positions SET next_offset = next_offset")

    passing, failed = inbox.pass_over, Counter[str]()

    async def let_go_at_the_second_failure(*arguments: Any) -> None:
        try:
            await passing(*arguments)
        except Contended:
            failed["tries"] += 1
            if failed["tries"] == 2:  # all three, then the first alone
                await held.rollback()
            raise

    monkeypatch.setattr("common.inbox.pass_over", let_go_at_the_second_failure)
    await handle(shell, *foreign)

    assert failed["tries"] == 2
    assert await admin.fetchval("SELECT next_offset FROM positions") == 3
    assert not shell.decider._recent


async def test_nothing_is_taken_when_the_process_dies_after_the_claim(
    database: Database, admin: Admin
) -> None:
    class Killed(BaseException):
        pass

    async def dies(*_: object) -> till.Till:
        raise Killed

    shell = till.Shell(
        till.Subscription("inventory-service", {till.OrderConfirmed: till.count}, dies, till.save),
        database=database,
    )

    with pytest.raises(Killed):
        await handle(shell, till.record(uuid7()))

    assert await admin.fetchval("SELECT count(*) FROM inbox") == 0
    assert await admin.fetchval("SELECT count(*) FROM positions") == 0


async def test_a_flood_of_failures_stops_the_consumer(database: Database) -> None:
    orders = [uuid7() for _ in range(200)]
    shell = till.shell(database, failing_for(*orders[:100]))

    with pytest.raises(Flood):
        await handle(shell, *(till.record(order, offset=n) for n, order in enumerate(orders)))


async def test_an_unknown_schema_id_waits_for_the_deploy(database: Database, admin: Admin) -> None:
    skewed = till.record(uuid7(), value=UNKNOWN)

    await handle(till.shell(database), skewed)

    assert await admin.fetchval("SELECT state FROM parked") == "retry"
    assert await admin.fetchval("SELECT count(*) FROM inbox") == 1


async def test_what_turns_out_to_be_poison_after_the_deploy_lets_its_key_go_on(
    database: Database, admin: Admin
) -> None:
    order = uuid7()
    skewed = till.record(order, value=UNKNOWN, offset=0)
    await handle(till.shell(database), skewed, till.record(order, offset=1))
    await admin.execute(
        "UPDATE parked SET payload = $1 WHERE attempt > 0", till.record(order).value[:-1]
    )

    await till.sweep(database)

    assert await admin.fetchval("SELECT order_id FROM till") == order
    assert await admin.fetchval("SELECT string_agg(state, ' ') FROM parked") == "skipped"
    assert [key for key, _ in await letters(admin)] == [str(order).encode()]


async def test_a_flood_of_failing_retries_stops_the_sweeper_too(
    database: Database, admin: Admin
) -> None:
    orders = [uuid7() for _ in range(200)]
    with pytest.raises(Flood):
        await handle(
            till.shell(database, failing_for(*orders)),
            *(till.record(order, offset=n) for n, order in enumerate(orders)),
        )

    with pytest.raises(Flood):
        await till.sweep(database, failing_for(*orders))

    (why,) = await admin.fetch("SELECT DISTINCT error_class FROM parked")
    assert why["error_class"] == "builtins.LookupError"
