"""Parked messages tried again, long after they came or by a deploy that reads them differently."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

import asyncpg
import pytest
import till
from common import avro
from common.consumer import Consumer
from common.database import Database, Transaction
from common.dead_letter import Record
from common.deciding import Subscription
from common.message import Event, Outcome, Received, Stale, uuid7
from common.parked import Patience
from common.settings import KafkaSettings, PostgresSettings
from common.shell import Shell
from common.sweeper import Sweep, Sweeper
from pydantic import SecretStr
from structlog.testing import capture_logs
from typing_extensions import override

from tests.support.waiting import eventually

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = pytest.mark.postgres

LONG_AGO = datetime.now(UTC) - timedelta(days=50)
AT_ONCE = Patience(timedelta(0), timedelta(0), attempts=3)
REPLAY = "UPDATE parked SET state = 'retry', attempt = 0, next_at = now()"


async def handle(database: Database, *records: Record, rule: till.Rule = till.count) -> None:
    assert await till.shell(database, rule).handle(records, asyncio.Event())


async def poison(database: Database, admin: Admin, order: UUID, record: Record) -> None:
    """Park a record as poison, as a deploy with a bug in its reader would."""
    await handle(database, till.record(order, event_id=event_id(record), value=b"\x13\x37"))
    await admin.execute("UPDATE parked SET payload = $1", record.value)


def event_id(record: Record) -> UUID:
    return UUID(dict(record.headers)[b"ce_id"].decode())


def made_at(moment: datetime) -> UUID:
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | 0x7 << 76 | 0x8 << 60)


def sick(_till: till.Till, _event: till.OrderConfirmed) -> till.Outcome:
    message = "a bug"
    raise LookupError(message)


async def counted(admin: Admin) -> list[int]:
    return [row["n"] for row in await admin.fetch("SELECT n FROM till")]


async def test_a_dead_message_is_handled_however_long_it_waited(
    database: Database, admin: Admin
) -> None:
    await handle(database, till.record(uuid7()), rule=sick)
    old = till.record(uuid7(), event_id=made_at(LONG_AGO))
    await admin.execute(
        "UPDATE parked SET event_id = $1, header_values[1] = $2, key = $3, payload = $4",
        *(event_id(old), dict(old.headers)[b"ce_id"], old.key, old.value),
    )
    await admin.execute("UPDATE parked SET parked_at = $1", LONG_AGO)

    await till.sweep(database)

    assert await counted(admin) == [1]
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0


async def test_a_message_edited_long_after_it_was_parked_is_handled(
    database: Database, admin: Admin
) -> None:
    await handle(database, till.record(uuid7()), rule=sick)
    await admin.execute("UPDATE parked SET parked_at = $1", LONG_AGO)

    await till.sweep(database)

    assert await counted(admin) == [1]


@pytest.mark.parametrize("state", ["dead", "skipped"])
async def test_a_type_that_this_deploy_does_not_decide_on_stays(
    database: Database, admin: Admin, state: str
) -> None:
    order = uuid7()
    if state == "dead":
        await handle(database, till.record(order), rule=sick)
    else:
        await poison(database, admin, order, till.record(order))
        await admin.execute(REPLAY)
    nothing = Shell(Subscription("inventory-service", {}, till.load, till.save), database=database)
    sweep = Sweep(nothing.decider, database=database, patience=AT_ONCE)

    while await sweep.once():
        pass

    row = await admin.fetchrow("SELECT state, error FROM parked")
    assert row
    assert row["state"] == state
    assert "does not decide on it" in row["error"]


async def test_poison_that_is_readable_now_is_claimed_and_handled(
    database: Database, admin: Admin
) -> None:
    order = uuid7()
    mended = till.record(order)
    await poison(database, admin, order, mended)
    await admin.execute(REPLAY)

    await till.sweep(database)
    await handle(database, mended)  # it comes again, from its topic

    assert await counted(admin) == [1]
    assert await admin.fetchval("SELECT origin FROM inbox") == "parked"
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0


async def test_poison_that_was_handled_meanwhile_is_not_handled_again(
    database: Database, admin: Admin
) -> None:
    order = uuid7()
    mended = till.record(order)
    await poison(database, admin, order, mended)
    await handle(database, mended)
    await admin.execute(REPLAY)

    await till.sweep(database)

    assert await counted(admin) == [1]
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0


async def test_two_copies_of_poison_that_is_readable_now_are_handled_once(
    database: Database, admin: Admin
) -> None:
    order = uuid7()
    mended = till.record(order)
    bad = [
        till.record(order, event_id=event_id(mended), value=b"\x13\x37", offset=n) for n in range(2)
    ]
    await handle(database, *bad)
    await admin.execute("UPDATE parked SET payload = $1", mended.value)
    await admin.execute(REPLAY)

    await till.sweep(database)

    assert await counted(admin) == [1]
    assert await admin.fetchval("SELECT count(*) FROM parked") == 0


async def test_poison_whose_id_was_used_with_other_content_stays_poison(
    database: Database, admin: Admin
) -> None:
    order = uuid7()
    mended = till.record(order)
    await poison(database, admin, order, mended)
    await handle(database, till.record(uuid7(), event_id=event_id(mended), offset=1))
    await admin.execute(REPLAY)

    await till.sweep(database)

    assert await counted(admin) == [1]
    assert await admin.fetchval("SELECT error FROM parked") == "ce_id is known with other content"


async def test_poison_with_a_key_that_no_index_takes_can_be_replayed(
    database: Database, admin: Admin
) -> None:
    await handle(database, till.record(uuid7(), value=b"junk", key=secrets.token_bytes(3000)))
    await admin.execute(REPLAY)

    await till.sweep(database)

    assert await admin.fetchval("SELECT state FROM parked") == "skipped"


async def test_poison_whose_decision_then_fails_is_handled_by_a_later_try(
    database: Database, admin: Admin
) -> None:
    order = uuid7()
    await poison(database, admin, order, till.record(order))
    await admin.execute(REPLAY)
    await till.sweep(database, sick)
    assert await admin.fetchval("SELECT state FROM parked") == "dead"
    await admin.execute(REPLAY)

    await till.sweep(database)

    assert await counted(admin) == [1]


async def test_poison_older_than_the_inbox_is_not_handled_on_a_guess(
    database: Database, admin: Admin
) -> None:
    order = uuid7()
    await handle(database, till.record(order, value=b"\x13\x37"))
    old = till.record(order, event_id=made_at(LONG_AGO))
    await admin.execute(
        "UPDATE parked SET payload = $1, header_values[1] = $2",
        *(old.value, dict(old.headers)[b"ce_id"]),
    )
    await admin.execute(REPLAY)

    await till.sweep(database)

    row = await admin.fetchrow("SELECT state, error FROM parked")
    assert row
    assert row["state"] == "skipped"
    assert "older than the inbox" in row["error"]


async def test_a_failure_is_noted_at_its_own_message_though_another_sweeper_had_that_since(
    database: Database, admin: Admin
) -> None:
    """Its transaction is over by then, so its row may be gone."""
    full, other = uuid7(), uuid7()
    await handle(database, till.record(full), till.record(other, offset=1), rule=sick)
    await admin.execute("INSERT INTO till VALUES ($1, 999)", full)
    await admin.execute("UPDATE parked SET next_at = now() - make_interval(secs => 9 - id)")

    class Overtaken(Sweep[till.Till]):
        @override
        async def _fail_head(self, *given: Any) -> None:
            await admin.execute("UPDATE till SET n = 1 WHERE order_id = $1", full)
            decider = till.shell(database).decider
            assert await Sweep(decider, database=database, patience=AT_ONCE).once(1) == 1
            await super()._fail_head(*given)

    sweep = Overtaken(till.shell(database).decider, database=database, patience=AT_ONCE)
    await sweep.once(1)

    left = await admin.fetch("SELECT key, attempt, error_class FROM parked")
    assert [tuple(row) for row in left] == [(str(other).encode(), 1, "builtins.LookupError")]


async def test_one_that_takes_too_long_keeps_no_other_from_its_try(
    database: Database, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = uuid7(), uuid7()
    await handle(database, till.record(slow), till.record(quick, offset=1), rule=sick)

    async def load(tx: Transaction, messages: Sequence[Received]) -> till.Till:
        if str(slow).encode() in {message.key for message in messages}:
            for timeout in ("0", "100ms"):  # a clock that runs is not set anew
                await tx.execute(f"SET LOCAL transaction_timeout = '{timeout}'")
            await tx.execute("SELECT pg_sleep(10)")
        return await till.load(tx, messages)

    monkeypatch.setattr("common.shell._CUT_OFF", 0.1)
    await admin.execute("UPDATE parked SET next_at = now()")
    shell = Shell(replace(till.subscription(), load=load), database=database)
    async with asyncio.timeout(10):
        await Sweep(shell.decider, database=database, patience=AT_ONCE).once()

    left = await admin.fetch("SELECT key, error_class FROM parked")
    assert [tuple(row) for row in left] == [(str(slow).encode(), "common.errors.Unavailable")]


async def test_a_sweeper_that_waits_for_its_database_says_so() -> None:
    nowhere = SecretStr("postgresql://somebody:secret@127.0.0.1:1/pedido")
    away = Database(PostgresSettings(database_url=nowhere, db_schema="orders"), name="till")
    kafka = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:9")
    consumer = Consumer(till.subscription(), database=away, kafka=kafka)
    stop = asyncio.Event()

    with capture_logs() as said:
        sweeping = asyncio.create_task(Sweeper(consumer, away).run(stop))
        await eventually(lambda: "sweeper waits" in [each["event"] for each in said])
    stop.set()
    await sweeping
    await away.close()


class CustomerChanged(Event):
    """A state, of which only the newest counts."""

    TOPIC: ClassVar[str] = "customers.v1"
    KEY: ClassVar[str] = "customer_id"
    customer_id: UUID


async def one_that_fails(*_: object) -> None:
    message = "a name that no column takes"
    raise LookupError(message)


def failing_states() -> Subscription[till.Till]:
    """Decide on orders, and fail on every customer."""
    return replace(till.subscription(), states={CustomerChanged: one_that_fails})


def customer_changed() -> Record:
    customer = str(uuid7())
    members = {"customer_id": customer, "name": "N", "email": "n@example.com", "language": "en"}
    return replace(
        till.record(
            uuid7(),
            headers={b"ce_type": b"CustomerChanged", b"ce_version": b"1"},
            value=avro.compose("customers.v1", "CustomerChanged", members, old=None),
            key=customer.encode(),
        ),
        topic="customers.v1",
    )


async def test_one_state_that_fails_for_ever_does_not_halt_its_consumer(
    database: Database, admin: Admin
) -> None:
    shell = Shell(failing_states(), database=database)
    assert await shell.handle([customer_changed()], asyncio.Event())
    sweep = Sweep(shell.decider, database=database, patience=AT_ONCE)

    for _ in range(200):
        assert await sweep.once(1) == 1

    shell.decider.check_flood()
    assert await admin.fetchval("SELECT attempt FROM parked WHERE state = 'retry'") == 201


async def test_nine_messages_that_fail_to_the_end_do_not_halt_a_quiet_consumer(
    database: Database, admin: Admin
) -> None:
    bad = [uuid7() for _ in range(9)]

    def rule(state: till.Till, event: till.OrderConfirmed) -> Outcome | Stale:
        return sick(state, event) if event.order_id in bad else till.count(state, event)

    shell = till.shell(database, rule)
    records = [till.record(uuid7()) for _ in range(120)] + [till.record(each) for each in bad]
    assert await shell.handle(records, asyncio.Event())
    patience = Patience(timedelta(0), timedelta(0), attempts=12)
    sweep = Sweep(shell.decider, database=database, patience=patience)

    while await sweep.once():
        pass

    assert await admin.fetchval("SELECT count(*) FROM parked WHERE state = 'dead'") == 9


async def test_states_that_fail_for_ever_keep_nothing_else_from_its_try(
    database: Database, admin: Admin
) -> None:
    shell = Shell(failing_states(), database=database)
    for _ in range(3):
        assert await shell.handle([customer_changed()], asyncio.Event())
    await handle(database, till.record(uuid7()), rule=sick)
    await admin.execute(REPLAY)

    await Sweep(shell.decider, database=database, patience=AT_ONCE).once(4)

    assert await counted(admin) == [1]
