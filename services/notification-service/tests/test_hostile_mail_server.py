"""Real SMTP from a due notice to its end, against servers that do their worst."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes
from uuid import UUID

import pytest
from common.database import Database
from common.message import StateRecord, uuid7
from notification_service import handlers
from notification_service.channels.mail import Email
from notification_service.channels.smtp import MailServer
from notification_service.channels.stationery import Stationery
from notification_service.domain.addresses import Digests
from notification_service.domain.notices import Notice, Order
from notification_service.messages import CustomerChanged, Money, OrderLine
from notification_service.sending.letters import Sender
from notification_service.store import customers, letters, notices

from tests.support.postmaster import Office, Postmaster, office_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

POUNDS = Money(amount=1530, currency="GBP")
LINES = (OrderLine(sku="85123A", quantity=6, unit_price=POUNDS),)
ANSWER_TIMEOUT = timedelta(seconds=0.5)
LOG = """
    SELECT n.status, n.error, array_agg(a.outcome ORDER BY attempt_id) AS log
      FROM notifications n JOIN attempts a ON a.notice_id = n.id GROUP BY n.id
"""


@asynccontextmanager
async def sending(
    database: Database, office: Office, give_up_after: timedelta = timedelta(days=2)
) -> AsyncIterator[None]:
    server = MailServer("127.0.0.1", office.port, tls=False, username=None, password=None)
    channel = Email(server, "Pedido <orders@pedido.example>", ANSWER_TIMEOUT)
    sender = Sender(database, channel, Stationery.load(), Digests(b"k"), give_up_after, 4)
    stop = asyncio.Event()
    running = asyncio.create_task(sender.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def owe(database: Database) -> UUID:
    order_id, customer_id = uuid7(), uuid7()
    customer = CustomerChanged(
        customer_id=customer_id, name="Ada", email="ada@example.com", language="en"
    )
    async with database.transaction() as tx:
        await customers.save_customers(tx, [StateRecord(str(customer_id), 1, customer, uuid7())])
        await notices.add_orders(tx, [Order(order_id, customer_id, LINES, POUNDS)])
        await notices.add_notices(tx, [Notice(order_id, "confirmed")])
        tx.ring(letters.SENDING_BELL)
    return order_id


async def ended(database: Database) -> bool:
    async with database.transaction() as tx:
        return not await tx.fetchval("SELECT count(*) FROM notifications WHERE status = 'PENDING'")


async def tried(database: Database) -> bool:
    async with database.transaction() as tx:
        return bool(await tx.fetchval("SELECT count(*) FROM attempts"))


async def outcome(database: Database) -> tuple[str, str | None, list[str]]:
    async with database.transaction() as tx:
        row = await tx.fetchrow(LOG)
    assert row is not None
    return row["status"], row["error"], row["log"]


def message_ids(postmaster: Postmaster) -> list[str]:
    return [str(message_from_bytes(taken)["Message-ID"]) for taken in postmaster.taken]


@pytest.mark.parametrize(
    ("hostile", "log"),
    [
        (Postmaster(rcpt_answer="451 4.7.1 greylisted"), ["put_off", "delivered"]),
        (Postmaster(data_answer="451 4.3.0 try again"), ["put_off", "delivered"]),
        (Postmaster(silent=True), ["put_off", "delivered"]),
        (Postmaster(rcpt_answer="451 4.7.1 greylisted", together=True), ["put_off", "delivered"]),
        (Postmaster(silent=True, together=True), ["put_off", "delivered"]),
    ],
    ids=["grey list", "4xx after data", "hangs", "grey list, together", "hangs, together"],
)
async def test_a_server_that_comes_to_reason_gets_the_message_once(
    database: Database, hostile: Postmaster, log: list[str]
) -> None:
    async with office_of(hostile) as office, sending(database, office):
        order_id = await owe(database)
        await eventually(lambda: tried(database))
        hostile.rcpt_answer = hostile.data_answer = "250 OK"
        hostile.silent = False
        await eventually(lambda: ended(database))

    assert message_ids(hostile) == [f"<{order_id}.confirmed.-@pedido>"]
    assert await outcome(database) == ("SENT", None, log)


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        (Postmaster(rcpt_answer="550 5.1.1 no such user"), "smtp_550"),
        (Postmaster(data_answer="554 5.7.1 spam"), "smtp_554"),
    ],
    ids=["no such user", "5xx after data"],
)
async def test_a_server_that_never_takes_it_leaves_the_failure_in_the_log(
    database: Database, hostile: Postmaster, code: str
) -> None:
    async with office_of(hostile) as office, sending(database, office):
        await owe(database)
        await eventually(lambda: ended(database))

    assert hostile.taken == []
    assert await outcome(database) == ("FAILED", code, ["refused"])


async def test_a_server_that_never_comes_to_reason_is_given_up(database: Database) -> None:
    hostile = Postmaster(silent=True)
    async with (
        office_of(hostile) as office,
        sending(database, office, give_up_after=timedelta(milliseconds=1)),
    ):
        await owe(database)
        await eventually(lambda: ended(database))

    assert await outcome(database) == ("FAILED", "gave_up_after_timeout", ["put_off"])


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
async def test_a_server_that_drops_after_data_gets_the_same_message_id_again(
    database: Database, *, together: bool
) -> None:
    hostile = Postmaster(drops=3, together=together)
    async with office_of(hostile) as office, sending(database, office):
        order_id = await owe(database)
        await eventually(lambda: ended(database))

    assert len(hostile.taken) == 4
    assert set(message_ids(hostile)) == {f"<{order_id}.confirmed.-@pedido>"}
    assert (await outcome(database))[0] == "SENT"


async def test_what_is_sent_again_is_the_same_message(database: Database) -> None:
    async with office_of(Postmaster()) as office, sending(database, office):
        order_id = await owe(database)
        await eventually(lambda: ended(database))
        async with database.transaction() as tx:
            notice_id = await tx.fetchval("SELECT id FROM notifications WHERE kind = 'confirmed'")
            await handlers.resend_notice(tx, notice_id, principal=uuid7())
        await eventually(lambda: len(office.postmaster.taken) == 2)
        await eventually(lambda: ended(database))

    assert message_ids(office.postmaster) == [f"<{order_id}.confirmed.-@pedido>"] * 2
    assert await outcome(database) == ("SENT", None, ["delivered", "delivered"])
