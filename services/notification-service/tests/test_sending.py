import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from common.database import Database
from common.message import StateRecord, uuid7
from notification_service.channels.stationery import Stationery
from notification_service.domain.addresses import Digests
from notification_service.domain.letters import Delivered, Delivery, PutOff, Refused
from notification_service.domain.notices import Notice, Order
from notification_service.domain.words import Text
from notification_service.messages import CustomerChanged, Kind, Money, OrderLine
from notification_service.sending.letters import LEASE_MARGIN, Round, Sender
from notification_service.store import customers, letters, notices

from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres

ADDRESS = "ada@example.com"
STATIONERY = Stationery.load()
DIGESTS = Digests(b"a key of this test alone, 32 bytes")
POUNDS = Money(amount=1530, currency="GBP")
LINES = (OrderLine(sku="85123A", quantity=6, unit_price=POUNDS),)
TWO_DAYS = timedelta(days=2)


@dataclass
class Pigeons:
    """A channel that answers what it was told to, and remembers what it was given."""

    answer: Delivery = field(default_factory=Delivered)
    given: list[tuple[str, str]] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    longest_attempt: timedelta = timedelta(seconds=1)
    left: bool = False

    async def deliver(self, notice: Notice, text: Text, address: str) -> Delivery:
        self.given.append((notice.message_id, address))
        self.subjects.append(text.subject)
        assert text.body
        assert text.html
        assert not self.left
        return self.answer

    async def close(self) -> None:
        self.left = True


@dataclass
class Counted:
    """A function, and how often it was called."""

    function: Any
    calls: int = 0

    async def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return await self.function(*arguments)


async def owe(
    database: Database,
    *kinds: Kind,
    customer_id: UUID | None = None,
    erased: bool = False,
) -> UUID:
    order_id, customer_id = uuid7(), customer_id or uuid7()
    customer = CustomerChanged(customer_id=customer_id, name="Ada", email=ADDRESS, language="en")
    record = StateRecord(str(customer_id), 1, None if erased else customer, uuid7())
    async with database.transaction() as tx:
        await customers.save_customers(tx, [record])
        await notices.add_orders(tx, [Order(order_id, customer_id, LINES, POUNDS)])
        owed = [Notice(order_id, kind) for kind in kinds or ("confirmed",)]
        await notices.add_notices(tx, owed)
        tx.ring(letters.SENDING_BELL)
    return order_id


@asynccontextmanager
async def sending(
    database: Database, channel: Pigeons, give_up_after: timedelta = TWO_DAYS
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    sender = Sender(database, channel, STATIONERY, DIGESTS, give_up_after, 4)
    running = asyncio.create_task(sender.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def states(database: Database, order_id: UUID) -> dict[str, tuple[str, str | None]]:
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT kind, status, error FROM notifications WHERE order_id = $1", order_id
        )
    return {row["kind"]: (row["status"], row["error"]) for row in rows}


def is_in(database: Database, order_id: UUID, status: str) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return {each for each, _ in (await states(database, order_id)).values()} == {status}

    return reached


async def log(database: Database) -> list[tuple[str, str | None]]:
    async with database.transaction() as tx:
        rows = await tx.fetch("SELECT outcome, code FROM attempts ORDER BY attempt_id")
    return [(row["outcome"], row["code"]) for row in rows]


async def announced(database: Database) -> list[str]:
    async with database.transaction() as tx:
        return [row["type"] for row in await tx.fetch("SELECT type FROM outbox ORDER BY id")]


async def test_what_is_due_is_sent_once_and_announced(database: Database) -> None:
    channel = Pigeons()
    async with sending(database, channel):
        order_id = await owe(database)
        await eventually(is_in(database, order_id, "SENT"))

    assert channel.given == [(f"<{order_id}.confirmed.-@pedido>", ADDRESS)]
    assert await announced(database) == ["NotificationSent"]


async def test_what_became_due_while_nobody_sent_is_found(database: Database) -> None:
    order_ids = [await owe(database) for _ in range(10)]

    channel = Pigeons()
    async with sending(database, channel):
        for order_id in order_ids:
            await eventually(is_in(database, order_id, "SENT"))

    assert len(channel.given) == len(set(channel.given)) == 10


async def test_a_refused_e_mail_has_failed_and_is_not_tried_again(database: Database) -> None:
    channel = Pigeons(Refused("smtp_550"))
    async with sending(database, channel):
        order_id = await owe(database)
        await eventually(is_in(database, order_id, "FAILED"))

    assert len(channel.given) == 1
    assert await announced(database) == ["NotificationFailed"]


async def test_an_e_mail_put_off_is_tried_again(database: Database) -> None:
    channel = Pigeons(PutOff("smtp_451"))
    async with sending(database, channel):
        order_id = await owe(database)
        await eventually(lambda: len(channel.given) == 1)
        channel.answer = Delivered()
        await eventually(is_in(database, order_id, "SENT"))

    assert len(channel.given) == 2
    assert await announced(database) == ["NotificationSent"]


async def test_an_e_mail_put_off_for_too_long_has_failed(database: Database) -> None:
    async with sending(database, Pigeons(PutOff("timeout")), give_up_after=timedelta()):
        order_id = await owe(database)
        await eventually(is_in(database, order_id, "FAILED"))

    assert await announced(database) == ["NotificationFailed"]


async def test_an_erased_customer_is_not_written_to(database: Database) -> None:
    channel = Pigeons()
    async with sending(database, channel):
        order_id = await owe(database, erased=True)
        await eventually(is_in(database, order_id, "SUPPRESSED"))

    assert channel.given == []
    assert await announced(database) == ["NotificationSuppressed"]


async def test_no_address_is_logged(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    async with sending(database, Pigeons(Refused("smtp_550"))):
        order_id = await owe(database)
        await eventually(is_in(database, order_id, "FAILED"))

    logged = "".join(capsys.readouterr())
    assert "smtp_550" in logged
    assert ADDRESS not in logged


async def test_a_letter_is_not_sent_when_its_lease_might_end_meanwhile(database: Database) -> None:
    order_id = await owe(database)
    channel = Pigeons()
    sender = Sender(database, channel, STATIONERY, DIGESTS, TWO_DAYS, 4)
    too_short = channel.longest_attempt + LEASE_MARGIN
    async with database.transaction() as tx:
        (letter,) = await letters.lease_letters(tx, 10, uuid7(), too_short)

    outcome = await sender.send((letter,))
    await sender.settle([((letter,), outcome)])

    assert channel.given == []
    async with sending(database, channel):
        await eventually(is_in(database, order_id, "SENT"))
    assert len(channel.given) == 1


async def test_who_stops_sending_leaves_the_channel_after_the_last_letter(
    database: Database,
) -> None:
    channel = Pigeons()
    async with sending(database, channel):
        await owe(database)
        await eventually(lambda: channel.given)
        assert not channel.left

    assert channel.left


async def test_a_hundred_letters_take_a_few_leases(database: Database) -> None:
    order_ids = [await owe(database) for _ in range(100)]
    channel, stop = Pigeons(), asyncio.Event()
    loop = Sender(database, channel, STATIONERY, DIGESTS, TWO_DAYS, 4).loop()
    sizes: list[int] = []

    lease = loop.lease

    async def counted(*asked: Any) -> list[Round]:
        rounds = await lease(*asked)
        sizes.append(len(rounds))
        return rounds

    loop.lease = counted
    running = asyncio.create_task(loop.run(stop))
    for order_id in order_ids:
        await eventually(is_in(database, order_id, "SENT"))
    stop.set()
    await running

    assert sum(sizes) == len(set(channel.given)) == 100
    assert len([size for size in sizes if size]) <= 4


async def test_at_rest_nothing_is_leased_and_what_another_process_owes_is_found(
    database: Database,
) -> None:
    channel, stop = Pigeons(), asyncio.Event()
    loop = Sender(database, channel, STATIONERY, DIGESTS, TWO_DAYS, 4).loop()
    leases, looks = Counted(loop.lease), Counted(loop.look)
    loop.lease, loop.look = leases, looks
    running = asyncio.create_task(loop.run(stop))
    await eventually(lambda: looks.calls >= 3)
    assert leases.calls == 1

    elsewhere = Database(database.settings, name="another process")
    order_id = await owe(elsewhere)
    await eventually(is_in(database, order_id, "SENT"))
    stop.set()
    await running
    await elsewhere.close()


async def test_letters_to_one_recipient_arrive_in_order_also_when_the_first_is_put_off(
    database: Database,
) -> None:
    channel = Pigeons(PutOff("smtp_451"))
    async with sending(database, channel):
        order_id = await owe(database, "confirmed", "cancelled", "refunded")
        await eventually(lambda: len(channel.given) >= 2)
        put_off = {message_id for message_id, _ in channel.given}
        channel.answer = Delivered()
        await eventually(is_in(database, order_id, "SENT"))

    assert put_off == {f"<{order_id}.confirmed.-@pedido>"}
    assert [message_id for message_id, _ in channel.given][-3:] == [
        f"<{order_id}.{kind}.-@pedido>" for kind in ("confirmed", "cancelled", "refunded")
    ]


async def test_what_waits_for_one_recipient_delays_no_other(database: Database) -> None:
    channel = Pigeons(PutOff("smtp_451"))
    async with sending(database, channel):
        await owe(database)
        await eventually(lambda: channel.given)
        channel.answer = Delivered()
        order_id = await owe(database)
        await eventually(is_in(database, order_id, "SENT"))


async def test_every_attempt_is_in_the_log(database: Database) -> None:
    channel = Pigeons(PutOff("smtp_451"))
    async with sending(database, channel):
        order_id = await owe(database)
        await eventually(lambda: channel.given)
        channel.answer = Refused("smtp_554")
        await eventually(is_in(database, order_id, "FAILED"))

    assert await log(database) == [("put_off", "smtp_451"), ("refused", "smtp_554")]


async def test_an_address_that_bounced_is_not_written_to_again(database: Database) -> None:
    customer_id = uuid7()
    channel = Pigeons(Refused("smtp_550", bounced=True))
    async with sending(database, channel):
        first = await owe(database, customer_id=customer_id)
        await eventually(is_in(database, first, "FAILED"))
        second = await owe(database, customer_id=customer_id)
        await eventually(is_in(database, second, "SUPPRESSED"))

    assert len(channel.given) == 1
    assert await states(database, second) == {"confirmed": ("SUPPRESSED", "address_suppressed")}
    assert await announced(database) == ["NotificationFailed", "NotificationSuppressed"]
    async with database.transaction() as tx:
        row = await tx.fetchrow("SELECT digest, code FROM suppressions")
    assert row is not None
    assert tuple(row) == (DIGESTS.of(ADDRESS.upper()), "smtp_550")


async def test_what_a_customer_may_do_without_and_muted_is_not_sent(database: Database) -> None:
    customer_id = uuid7()
    async with database.transaction() as tx:
        chosen = customers.Preferences("es", frozenset({"shipped", "confirmed"}))
        assert await customers.save_preferences(tx, customer_id, chosen)
    channel = Pigeons()
    async with sending(database, channel):
        order_id = await owe(database, "confirmed", "shipped", customer_id=customer_id)
        await eventually(lambda: channel.given)
        await eventually(lambda: told(database, 2))

    assert await states(database, order_id) == {
        "confirmed": ("SENT", None),
        "shipped": ("SUPPRESSED", "muted"),
    }
    assert channel.subjects == ["Su pedido está confirmado"]


async def told(database: Database, times: int) -> bool:
    return len(await announced(database)) == times
