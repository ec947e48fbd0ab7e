"""After the tombstone nothing that this service stores tells who the customer was."""

import asyncio
from datetime import timedelta

import pytest
from common.message import StateRecord, uuid7
from notification_service.channels.stationery import Stationery
from notification_service.domain.addresses import Digests
from notification_service.domain.letters import Delivered, Delivery, PutOff, Refused
from notification_service.domain.notices import Notice
from notification_service.domain.words import Text
from notification_service.messages import CustomerChanged
from notification_service.sending.letters import Sender
from notification_service.store import customers

from tests.support.mailroom import Mailroom
from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

NAME, ADDRESS = "Canariana Q. Zyxw", "canari.zyxw@example.com"
CANARIES = ("canari", "zyxw", ADDRESS)


class Gossip:
    """A channel that puts one letter off, bounces one and takes the rest."""

    longest_attempt = timedelta(seconds=1)

    def __init__(self) -> None:
        self._answers: list[Delivery] = [PutOff("smtp_451"), Refused("smtp_550", bounced=True)]

    async def deliver(self, _notice: Notice, _text: Text, _address: str) -> Delivery:
        return self._answers.pop(0) if self._answers else Delivered()

    async def close(self) -> None:
        pass


async def everything(mailroom: Mailroom) -> str:
    tables = await mailroom.rows(
        "SELECT format('%I', relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = 'notifications' AND relkind IN ('r', 'p')"
    )
    found = [await mailroom.rows(f"SELECT t::text FROM {name} t") for (name,) in tables]  # noqa: S608
    return str(found).lower()


async def live(mailroom: Mailroom, digests: Digests) -> None:
    """Know a customer, write to them with every outcome, and let them choose."""
    customer_id = uuid7()
    event = CustomerChanged(customer_id=customer_id, name=NAME, email=ADDRESS, language="es-ES")
    record = StateRecord(str(customer_id), 1, event, uuid7())
    async with mailroom.database.transaction() as tx:
        await customers.save_customers(tx, [record])
    await mailroom.ask(
        "PUT", "/preferences", {"language": "es"}, role="customer", caller=customer_id
    )
    await mailroom.owe(customer_id, "confirmed", "shipped", "cancelled")
    sender = Sender(mailroom.database, Gossip(), Stationery.load(), digests, timedelta(days=2), 2)
    stop = asyncio.Event()
    running = asyncio.create_task(sender.run(stop))
    await eventually(lambda: settled(mailroom))
    stop.set()
    await running


async def settled(mailroom: Mailroom) -> bool:
    rows = await mailroom.rows("SELECT count(*) FROM notifications WHERE status = 'PENDING'")
    return rows == [(0,)]


async def test_an_erased_customer_is_in_no_table_and_in_no_log(
    mailroom: Mailroom, digests: Digests, capsys: pytest.CaptureFixture[str]
) -> None:
    await live(mailroom, digests)
    before = await everything(mailroom)
    ((customer_id,),) = await mailroom.rows("SELECT customer_id FROM customers")

    await mailroom.erase(customer_id)

    after = await everything(mailroom)
    logged = "".join(capsys.readouterr()).lower()
    for canary in CANARIES:
        assert canary.lower() in before
        assert canary.lower() not in after
        assert canary.lower() not in logged
    assert digests.of(ADDRESS).hex() in after
    assert "smtp_550" in logged
