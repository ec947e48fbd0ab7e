"""What was settled long ago is forgotten, and what is forgotten is not told again."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from common import avro
from common.dead_letter import Record
from common.message import uuid7
from common.shell import Shell
from notification_service.consumers import SUBSCRIPTION
from notification_service.messages import OrderConfirmed
from notification_service.sending.forgetting import Janitor
from notification_service.settings import Settings
from pydantic import ValidationError

from tests.support.mailroom import Mailroom
from tests.support.orders import frame

pytestmark = pytest.mark.postgres

KEEP = timedelta(days=46)
"""The least that can be set."""


async def settled(mailroom: Mailroom, days_ago: int, status: str = "SENT") -> UUID:
    """Have told a customer of an order so long ago, after three attempts."""
    order_id = await mailroom.owe(await mailroom.know())
    await mailroom.settle(order_id, status)
    await mailroom.run(
        "UPDATE notifications SET created_at = now() - $2::interval,"
        " settled_at = now() - $2::interval WHERE order_id = $1",
        order_id,
        timedelta(days=days_ago),
    )
    await mailroom.run(
        "INSERT INTO attempts (notice_id, outcome) SELECT id, 'delivered'"
        " FROM notifications, generate_series(1, 3) WHERE order_id = $1",
        order_id,
    )
    return order_id


async def left(mailroom: Mailroom) -> tuple[set[UUID], int]:
    """See which orders' notices are there, and how many attempts in all."""
    notices = await mailroom.rows("SELECT order_id FROM notifications WHERE order_id IS NOT NULL")
    ((attempts,),) = await mailroom.rows("SELECT count(*) FROM attempts")
    return {order_id for (order_id,) in notices}, attempts


def janitor(mailroom: Mailroom) -> Janitor:
    return Janitor(mailroom.database, KEEP, KEEP)


@pytest.mark.parametrize("status", ["SENT", "FAILED", "SUPPRESSED"])
async def test_a_notice_is_forgotten_with_its_attempts_when_it_was_settled_long_ago(
    mailroom: Mailroom, status: str
) -> None:
    await settled(mailroom, 47, status)
    young = await settled(mailroom, 45, status)

    assert [await janitor(mailroom).sweep() for _ in range(2)] == [1, 0]
    assert await left(mailroom) == ({young}, 3)


async def test_what_is_still_due_is_kept_however_old_it_is(mailroom: Mailroom) -> None:
    waiting, again = await settled(mailroom, 400), await settled(mailroom, 400)
    await mailroom.run(
        "UPDATE notifications SET status = 'PENDING', settled_at = NULL WHERE order_id = $1",
        waiting,
    )
    ((notice_id,),) = await mailroom.rows("SELECT id FROM notifications WHERE order_id = $1", again)
    answer = await mailroom.ask("POST", f"/notifications/{notice_id}/resend")

    assert answer.status_code == 202
    assert await janitor(mailroom).sweep() == 0
    assert await left(mailroom) == ({waiting, again}, 6)


async def test_what_was_sent_again_lately_is_kept(mailroom: Mailroom) -> None:
    order_id = await settled(mailroom, 400)
    await mailroom.settle(order_id)

    assert await janitor(mailroom).sweep() == 0


async def test_what_is_forgotten_can_not_be_sent_again(mailroom: Mailroom) -> None:
    await settled(mailroom, 47)
    ((notice_id,),) = await mailroom.rows("SELECT id FROM notifications WHERE order_id IS NOT NULL")
    await janitor(mailroom).sweep()

    answer = await mailroom.ask("POST", f"/notifications/{notice_id}/resend")

    assert answer.status_code == 404


def confirmed(order_id: UUID, age: timedelta) -> Record:
    """Make the event that was said so long ago."""
    said = datetime.now(UTC) - age
    event = OrderConfirmed(order_id=order_id)
    moment = int(said.timestamp() * 1000)
    headers = {
        "ce_type": event.type_name(),
        "ce_id": str(UUID(int=(moment << 80) | (uuid7().int & ((1 << 80) - 1)))),
        "ce_source": f"/{avro.source_of(event.TOPIC)}",
        "ce_time": said.isoformat(),
    }
    return Record(
        topic=event.TOPIC,
        partition=0,
        offset=0,
        timestamp=said,
        key=event.key().encode(),
        value=frame(event),
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )


async def hear(mailroom: Mailroom, record: Record) -> None:
    shell = Shell(SUBSCRIPTION, database=mailroom.database)
    assert await shell.handle([record], asyncio.Event())


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(days=1)], ids=["true", "a day ahead"])
async def test_an_event_that_comes_again_after_its_notice_was_forgotten_mails_nobody(
    mailroom: Mailroom, ahead: timedelta
) -> None:
    await hear(mailroom, confirmed(uuid7(), KEEP - ahead))

    assert await mailroom.rows("SELECT kind FROM notifications") == []


async def test_an_event_is_remembered_for_as_long_as_its_notice_is_not(mailroom: Mailroom) -> None:
    event = confirmed(uuid7(), timedelta(days=40))
    await hear(mailroom, event)
    await mailroom.run("DELETE FROM notifications")

    await hear(mailroom, event)

    assert await mailroom.rows("SELECT kind FROM notifications") == []


@pytest.mark.parametrize("log", ["mail_keep", "webhook_keep"])
@pytest.mark.parametrize(("days", "taken"), [(45, False), (46, True), (3650, True)])
def test_what_was_told_is_kept_for_longer_than_an_event_can_come_again(
    settings: Settings, log: str, days: int, *, taken: bool
) -> None:
    asked: dict[str, Any] = settings.model_dump() | {log: timedelta(days=days)}
    if taken:
        assert getattr(Settings(**asked), log) == timedelta(days=days)
        return
    with pytest.raises(ValidationError, match="told again"):
        Settings(**asked)


def test_by_default_no_event_outlives_what_it_told(settings: Settings) -> None:
    assert settings.webhook_keep == KEEP <= settings.mail_keep
